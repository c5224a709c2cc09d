from __future__ import annotations

import pytest

from aptp_bench.errors import ConfigError
from aptp_bench.methods.aptp import APTP


@pytest.mark.parametrize("name", sorted(APTP.Config.model_fields))
def test_every_option_says_what_it_is(name: str) -> None:
    assert len(APTP.Config.model_fields[name].description or "") > 20


def test_the_defaults_are_the_papers() -> None:
    config = APTP().config
    assert (config.temperature, config.transport_eps, config.transport_iterations) == (0.4, 0.05, 3)
    assert (config.contrastive_tau, config.contrastive_weight, config.resource_weight) == (0.03, 100.0, 2.0)
    assert (config.output_weight, config.block_weight) == (0.2, 0.2)
    assert (config.warmup_steps, config.joint_steps, config.lr_warmup) == (500, 2500, 100)
    assert (config.batch, config.lr) == (1024, 2e-4)


@pytest.mark.parametrize("scale", sorted(APTP.presets))
def test_presets_change_sizes_steps_and_rates_only(scale: str) -> None:
    allowed = {"experts", "warmup_steps", "joint_steps", "batch", "lr", "lr_warmup", "align_steps", "checkpoint_every"}
    assert set(APTP.presets[scale]) <= allowed
    APTP(**APTP.presets[scale])


def test_a_batch_smaller_than_the_experts_is_refused() -> None:
    with pytest.raises(ConfigError, match="raise batch or lower experts"):
        APTP(batch=4, experts=8)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="no option 'expert'"):
        APTP(expert=4)


def test_options_survive_json() -> None:
    config = APTP(depth_gates="nested", depth_order=(1, 0)).config
    assert type(config)(**config.model_dump(mode="json")) == config
