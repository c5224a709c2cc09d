from __future__ import annotations

import pytest

from aptp_bench.cli import view
from aptp_bench.records import Expert, Record


@pytest.fixture
def record(make_record):
    """record(method, world="mini", value=12.345, weights=None, experts=1) -> a record whose experts cost half."""

    def made(method: str, world="mini", value=12.345, weights=None, experts=1) -> Record:
        found = make_record(method, world=world, fid=(value, value - 1, value + 1), what={"weights": weights})
        macs = {n: counts.model_copy(update={"dense": 2.0, "train_ratio": 0.7812}) for n, counts in found.macs.items()}
        half = Expert(macs=dict.fromkeys(macs, 1), parameters=1_500_000, train_prompts=3, eval_prompts=2)
        skipped = {"cmmd": "no weights; fetch them"}
        return found.model_copy(update={"macs": macs, "experts": [half] * experts, "skipped": skipped})

    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "160")

    def show(*records: Record) -> str:
        view.show_comparison(records)
        return capsys.readouterr().out

    return show


def test_methods_stand_side_by_side_with_direction_and_interval(shown, record):
    out = shown(record("dense", value=10.0), record("aptp", experts=2))
    (row,) = [line for line in out.splitlines() if "fid" in line]
    assert "fid ↓" in row and "10 [9, 11]" in row and "12.35 [11.35, 13.35]" in row
    assert "budget 0.78 of the exact MACs" in out


@pytest.mark.parametrize(
    ("world", "words"),
    [("mini", "not comparable with papers"), ("smoke", "numbers mean little"), ("paper", "paper scale")],
)
def test_every_table_names_its_world(shown, record, world, words):
    assert words in shown(record("aptp", world))


def test_random_weights_are_called_so(shown, record):
    assert "random weights" in shown(record("aptp", weights="random"))
    assert "random weights" not in shown(record("aptp", weights="folder"))


def test_experts_are_listed_with_their_share_and_prompts(shown, record):
    out = shown(record("aptp", experts=2))
    assert "experts of aptp" in out and "0.500" in out and "0.7812" in out and "1.50" in out
    assert "experts of" not in shown(record("dense"))


def test_what_was_not_measured_is_said_once(shown, record):
    assert shown(record("dense"), record("aptp")).count("not measured: cmmd: no weights; fetch them") == 1


def test_a_metric_that_one_run_lacks_is_a_dash(shown, record):
    lacking = record("aptp").model_copy(update={"results": {}})
    assert "–" in shown(record("dense"), lacking)


@pytest.mark.parametrize(
    ("value", "text"), [(12345678.0, "12,345,678"), (0.00012345, "0.0001234"), (3.14159, "3.142"), (0.0, "0")]
)
def test_numbers_have_four_digits(value, text):
    assert view.number(value) == text


def test_checks_mark_what_only_other_scales_need(monkeypatch, capsys):
    from aptp_bench.cli.doctor import Check
    from aptp_bench.cli.doctor_view import show_checks

    monkeypatch.setenv("COLUMNS", "160")
    show_checks([Check("a", True, "x"), Check("b", False, "y", fix="mend b"), Check("c", False, "z", needed=False)])
    out = capsys.readouterr().out
    assert "ok" in out and "missing" in out and "optional" in out and "mend b" in out


def test_what_images_were_compared_with_is_said_once_for_each(record, shown):
    def faithful(method: str, against: str) -> Record:
        found = record(method)
        detail = {**found.results["fid"].detail, "against": against}
        return found.model_copy(
            update={"results": {**found.results, "ssim": found.results["fid"].model_copy(update={"detail": detail})}}
        )

    out = shown(faithful("dense", "dense from other noise"), faithful("norm", "dense"), faithful("aptp", "dense"))
    assert "ssim of dense: to dense from other noise\n" in out and "ssim of norm, aptp: to dense\n" in out
    assert "fid of" not in out
