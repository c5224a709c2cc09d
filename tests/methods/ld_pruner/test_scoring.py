from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.noise import starting_noise
from aptp_bench.generation.sampling import parts_of
from aptp_bench.methods.ld_pruner import LDPrunerConfig
from aptp_bench.methods.ld_pruner.operators import Operator, operators, stand_in
from aptp_bench.methods.ld_pruner.scoring import Scored, drawn, scored
from aptp_bench.models.stable_diffusion import pipeline
from aptp_bench.plugins import Job
from aptp_bench.pruning.surgery import clone, substitute_
from aptp_bench.training.latents import Pairs

Jobs = Callable[..., Job]


@pytest.fixture
def few(tiny: Any) -> tuple[Operator, ...]:
    """One operator of every kind."""
    return tuple({operator.kind: operator for operator in operators(tiny.unet)}.values())


def config(settings: dict[str, Any], **changes: Any) -> LDPrunerConfig:
    return LDPrunerConfig(**settings | changes)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "scores-00.jsonl").read_text().splitlines()]


def algorithm_1(
    teacher: Any, captions: Sequence[str], n: int, steps: int, guidance: float, among: Any
) -> dict[str, float]:
    """As printed: operator by operator, prompt by prompt, the pipeline's own text and sampling; the mean over prompts."""

    def latents(unet: UNet2DConditionModel, c: int) -> torch.Tensor:
        pipe = pipeline(unet, **parts_of(teacher, "ddim"))
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
        noise = starting_noise(0, range(c * n, c * n + n), (4, 4, 4))
        text = [captions[c]] * n
        return pipe(
            text, num_inference_steps=steps, guidance_scale=guidance, latents=noise, output_type="latent"
        ).images

    unet, scores = clone(teacher.unet), {}
    originals = [latents(unet, c) for c in range(len(captions))]
    for operator in among:
        old = substitute_(unet, operator.path, stand_in(unet, operator))
        total = 0.0
        for c, z in enumerate(originals):
            z_hat = latents(unet, c)
            total += float(
                (z.mean(0) - z_hat.mean(0)).norm()
                + (z.var(0, correction=0).sqrt() - z_hat.var(0, correction=0).sqrt()).norm()
            )
        scores[operator.path] = total / len(captions)
        substitute_(unet, operator.path, old)
    return scores


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_scores_are_algorithm_1s(
    guidance: float, job: Jobs, told: Pairs, tiny: Any, settings: dict[str, Any], few: Any
) -> None:
    given = job(train=told)
    found = scored(given, config(settings, guidance=guidance, steps=2), few)
    captions = [told.captions[i] for i in drawn(len(told), 3, seed=0)]
    expected = algorithm_1(tiny, captions, 2, 2, guidance, few)
    assert list(found.scores) == [operator.path for operator in few]
    for path, value in expected.items():
        assert found.scores[path] == pytest.approx(value, rel=1e-3), path


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_what_is_not_computed_again_changes_no_score_by_a_bit(
    guidance: float, job: Jobs, settings: dict[str, Any], few: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(settings, guidance=guidance, steps=2)
    found = scored(job(workdir=tmp_path / "known"), asked, few)
    monkeypatch.setattr("aptp_bench.methods.ld_pruner.scoring.answering", lambda *_, **__: nullcontext())
    assert scored(job(workdir=tmp_path / "plain"), asked, few) == found


@pytest.mark.parametrize(
    ("after", "torn"),
    [(0, ""), (5, '{"part": 0, "operator": "x", "avg": [0.0]}'), (17, '{"part": 1, "operator": "up_bl')],
)
def test_a_killed_scoring_goes_on_with_the_same_result(
    after: int, torn: str, job: Jobs, settings: dict[str, Any], few: Any, tmp_path: Path, killed: Any, counting: Any
) -> None:
    whole = scored(job(workdir=tmp_path / "whole"), config(settings), few)
    broken = job(workdir=tmp_path / "broken", progress=killed(after))
    with pytest.raises(KeyboardInterrupt):
        scored(broken, config(settings), few)
    with (broken.workdir / "scores-00.jsonl").open("a", encoding="utf-8") as file:
        file.write(torn)
    kept = rows_of(broken.workdir)[: after + 1] if not torn else None
    rest = counting()
    assert scored(replace(broken, progress=rest), config(settings), few) == whole
    assert rest.seen == 2 * len(few) - after
    assert kept is None or rows_of(broken.workdir)[: after + 1] == kept
    assert rows_of(broken.workdir) == rows_of(tmp_path / "whole")


@pytest.fixture
def counting(killed: Any) -> Callable[[], Any]:
    """counting() -> a progress that counts its items as `seen`."""
    return lambda: killed(math.inf)


def test_scores_of_other_settings_are_not_taken(job: Jobs, settings: dict[str, Any], few: Any, counting: Any) -> None:
    old = scored(job(), config(settings), few)
    for changes, parts in (
        ({"steps": 2}, 2), ({"prompts": 2}, 1), ({"generations": 3}, 3), ({"guidance": 2.0}, 2), ({"unbiased": True}, 2),
        ({"resnets": "slice"}, 2),
    ):  # fmt: skip
        progress = counting()
        new = scored(job(progress=progress), config(settings, **changes), few)
        assert progress.seen == parts * len(few), changes
        assert "resnets" in changes or new.scores != old.scores, changes


@pytest.mark.parametrize("change", ["seed", "teacher", "captions"])
def test_scores_of_another_teacher_or_seed_or_captions_are_not_taken(
    change: str, job: Jobs, settings: dict[str, Any], few: Any, tiny: Any, pairs: Pairs, counting: Any
) -> None:
    one, other = pairs.subset([0]), clone(tiny.unet)  # one caption: every seed draws it
    with torch.no_grad():
        other.conv_out.bias += 1.0
    changes = {"seed": 1, "teacher": pipeline(other, **parts_of(tiny, "ddim")), "captions": pairs.subset([1])}
    scored(job(train=one), config(settings), few)
    again, progress = counting(), counting()
    scored(job(train=one, progress=again), config(settings), few)
    scored(
        job(progress=progress, **{"train": one, {"captions": "train"}.get(change, change): changes[change]}),
        config(settings),
        few,
    )
    assert (again.seen, progress.seen) == (0, len(few))


def test_the_formula_and_p_need_no_new_scoring(job: Jobs, settings: dict[str, Any], few: Any, counting: Any) -> None:
    found = scored(job(), config(settings), few)
    progress = counting()
    product = scored(job(progress=progress), config(settings, score="product", p=3), few)
    assert progress.seen == 0 and product.avg == found.avg and product.scores != found.scores
    assert all(found.scores[path] == pytest.approx(found.avg[path] + found.std[path]) for path in found.scores)


def test_processes_share_the_work_and_find_the_same(
    job: Jobs, settings: dict[str, Any], few: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counting: Any
) -> None:
    alone = scored(job(workdir=tmp_path / "alone"), config(settings), few)
    shared, seen = tmp_path / "shared", []
    for rank in range(3):

        class Third(Ranks):
            def wait(self) -> None:
                """One after another here: nothing to wait for."""

        monkeypatch.setattr("aptp_bench.methods.ld_pruner.scoring.Ranks.here", lambda rank=rank: Third(rank, 3))
        progress = counting()
        given = job(workdir=shared, progress=progress)
        if rank < 2:
            with pytest.raises(KeyError):  # rows of the processes to come are missing yet
                scored(given, config(settings), few)
        else:
            assert scored(given, config(settings), few) == alone
        seen.append(progress.seen)
    assert sum(seen) == 2 * len(few) and max(seen) - min(seen) <= 1


def test_a_latent_that_is_not_finite_is_infinitely_far(
    job: Jobs, settings: dict[str, Any], few: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return x * math.nan

    monkeypatch.setattr("aptp_bench.methods.ld_pruner.scoring.stand_in", lambda unet, operator: Broken())
    conv = next(operator for operator in few if operator.kind == "conv")
    found: Scored = scored(job(), config(settings), [conv])
    assert found.scores == {conv.path: math.inf}
    assert "NaN" not in (job().workdir / "scores-00.jsonl").read_text()


def test_prompts_are_drawn_by_the_seed_and_are_never_twice_the_same() -> None:
    assert drawn(100, 10, seed=1) == drawn(100, 10, seed=1) != drawn(100, 10, seed=2)
    assert len(set(drawn(100, 50, seed=0))) == 50
    assert sorted(drawn(7, 50, seed=0)) == list(range(7))
