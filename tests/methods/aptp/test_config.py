from __future__ import annotations

from pathlib import Path

import pytest

from aptp_bench.core.documents import execution
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
def test_what_a_preset_changes_beside_sizes_steps_and_rates_is_explained(scale: str) -> None:
    allowed = {"experts", "warmup_steps", "joint_steps", "batch", "lr", "lr_warmup", "align_steps", "checkpoint_every"}
    page = (Path(__file__).parents[3] / "docs" / "aptp_in_the_mini_world.md").read_text(encoding="utf-8")
    more = set(APTP.presets[scale]) - allowed - execution(APTP.Config)
    assert all(f"{name}=" in page for name in more)
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
