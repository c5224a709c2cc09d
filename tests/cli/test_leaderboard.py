"""The leaderboard is what the records give: any single number changed, anywhere, and --check fails."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from aptp_bench import records
from aptp_bench.errors import ConfigError
from aptp_bench.harness import contact_sheet, replicates
from aptp_bench.reporting.pages.leaderboard_files import CLOSE, OPEN, Publication

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
NUMBER = re.compile(r"\d+")
README = f"# Mine\n\nBefore 12.\n\n{OPEN}\nold\n{CLOSE}\n\nAfter 34.\n"
KEPT = ("parameters", "latency", "fid")  # enough of a record: counted, timed, read off images


@pytest.fixture
def check(call: Any) -> Any:
    """check(*words) -> (exit code, stdout) of the leaderboard command."""
    return lambda *words: call("leaderboard", *words)


@pytest.fixture
def small(tmp_path: Path, make_record: Any, tracked: Path) -> Path:
    """A results folder with two short records, one of them with samples, a short speed record, and a README."""
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    results = tmp_path / "results"
    for method, fid in (("a", (3.0, 2.5, 3.5)), ("b", (5.0, 4.5, 5.5))):
        record = make_record(method, fid=fid, latency=(0.5, 0.4, 0.6))
        kept = {name: record.results[name] for name in KEPT}
        for found in kept.values():
            for key in ("traffic", "experts", "alignment", "unet_call"):
                found.detail.pop(key, None)
        update: dict[str, Any] = {"results": kept, "experts": record.experts[:1]}
        if method == "a":
            facts = {"captions": ["1 red car"], "edge": 8, "sha256": "0" * 64}
            update["samples"] = records.Samples.model_validate(facts)
        path = records.save(record.model_copy(update=update), results)
        place = contact_sheet.path_of(path)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"no image")
    shortened(tracked / "results" / "speed", results)
    Publication.of(results).write()
    return results


def shortened(speed: Path, results: Path) -> None:
    """One committed speed record with one timing and no experts but one."""
    source = sorted(speed.glob("dense-*"))[0]
    document = json.loads(source.read_text(encoding="utf-8"))
    document |= {"timings": document["timings"][:1], "predicted": document["predicted"][:1]}
    (results / "speed").mkdir()
    (results / "speed" / source.name).write_text(json.dumps(document, indent=2), encoding="utf-8")


def fails(results: Path) -> bool:
    """What --check does, in this process."""
    try:
        made = Publication.of(results)
        return bool(made.malformed or made.differences())
    except ConfigError:
        return True


def changed(text: str, spot: re.Match[str]) -> str:
    """The text with the last digit of one number raised by one."""
    last = spot.end() - 1
    return f"{text[:last]}{(int(text[last]) + 1) % 10}{text[last + 1 :]}"


def each_number(path: Path, most: int = 60, within: slice = slice(None)) -> Iterator[str]:
    """Change some numbers of a file, one after the other, and put the file back; what was changed."""
    text = path.read_bytes().decode()
    first, last, _ = within.indices(len(text))
    spots = [spot for spot in NUMBER.finditer(text) if first <= spot.start() < last]
    for spot in random.Random(path.name).sample(spots, min(len(spots), most)):
        path.write_bytes(changed(text, spot).encode())
        line = text.count("\n", 0, spot.start()) + 1
        yield f"{path.name}, line {line}: {text[max(0, spot.start() - 30) : spot.end() + 10]!r}"
    path.write_bytes(text.encode())


def test_it_passes_on_what_it_wrote_and_says_so(call, check, small):
    code, out = check("--check")
    assert (code, call.err) == (0, "") and "results is what 2 records give: 1 boards" in out


def test_a_changed_number_of_a_record_is_found(small):
    files = [*(small / "records").glob("*.json"), *(small / "speed").glob("*.json")]
    assert len(files) == 3
    assert [what for path in files for what in each_number(path) if not fails(small)] == []
    assert not fails(small)


def test_a_changed_number_of_a_page_is_found(small):
    made = Publication.of(small)
    pages = [*made.pages, *sorted((small / "figures").glob("*.svg"))]
    assert {path.suffix for path in pages} == {".md", ".html", ".svg"} and len(pages) == 6
    block = slice(README.index(OPEN), README.index(CLOSE) - len(README))
    for path in pages:
        within = block if path.name == "README.md" else slice(None)
        assert [what for what in each_number(path, within=within) if not made.differences()] == []
    assert made.differences() == []


def test_text_of_the_readme_outside_of_the_block_is_nobodys_business(call, check, small):
    readme = small.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\nBefore 12.\n\n<!-- leaderboard -->\n\n**") and text.endswith("\n\nAfter 34.\n")
    verdict, board = text.partition(OPEN)[2].split("\n\n")[1:3]
    assert verdict.count(". ") == 0 and verdict.endswith(".**") and board.startswith("| rank by FID |")
    readme.write_text(text.replace("34", "35"), encoding="utf-8")
    assert check("--check")[0] == 0 and check()[0] == 0
    assert readme.read_text(encoding="utf-8") == text.replace("34", "35")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: Any, tracked: Path) -> Path:
    """The committed records, speed records and samples, with a leaderboard made from them."""
    results = tmp_path_factory.mktemp("copy") / "results"
    for folder in ("records", "speed", "samples"):
        shutil.copytree(tracked / "results" / folder, results / folder)
    (results.parent / "README.md").write_text(README, encoding="utf-8")
    Publication.of(results).write()
    return results


def test_the_committed_records_pass_and_a_changed_number_of_theirs_fails(copied):
    assert not fails(copied)
    rng = random.Random(0)
    files = rng.sample(sorted((copied / "records").glob("*.json")), 5)
    for path in [*files, *rng.sample(sorted((copied / "speed").glob("*")), 2)]:
        assert [what for what in each_number(path, most=1) if not fails(copied)] == []


def test_the_committed_leaderboard_is_what_the_committed_records_give(call, check, monkeypatch, tracked):
    monkeypatch.chdir(tracked)
    code, _ = check("--check")
    assert (code, call.err) == (0, "")


def test_the_same_records_give_the_same_bytes_and_a_second_run_writes_nothing(call, check, small):
    files = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    code, out = check()
    assert code == 0 and "written" not in out
    for path in files:
        if path.name.startswith(("leaderboard", "pareto")):
            path.unlink()
    assert check()[0] == 0
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == files
    assert not any(b"\r\n" in content for path, content in files.items() if path.suffix in (".md", ".html"))


def test_an_error_names_the_file_the_line_and_the_command(call, check, small):
    page = small / "leaderboard.md"
    page.write_text(page.read_text(encoding="utf-8").replace("3.00", "2.00", 1), encoding="utf-8")
    code, out = check("--check")
    assert code == 2 and out == "" and call.err.count("\n") == 1
    assert re.search(
        r"line \d+ of results/leaderboard.md is not what the records give; fix it: aptp-bench leaderboard$",
        call.err.strip(),
    )
    assert check()[0] == 0 and check("--check")[0] == 0


def test_what_is_missing_or_of_no_record_is_named_and_mended(call, check, small):
    figure = sorted((small / "figures").glob("*.svg"))[0]
    figure.unlink()
    (stale := figure.with_name("pareto-old.svg")).write_text("<svg/>")
    (theirs := figure.with_name("mine.svg")).write_text("<svg/>")
    code, _ = check("--check")
    assert code == 2 and f"{figure.name} is missing" in call.err and "pareto-old.svg is of no record" in call.err
    assert check()[0] == 0
    assert figure.is_file() and not stale.exists() and theirs.exists() and check("--check")[0] == 0


def test_another_sheet_of_samples_is_found(call, check, small):
    sheet = sorted((small / "samples").glob("*.png"))[0]
    sheet.write_bytes(b"another")
    assert check("--check")[0] == 2
    sheet.unlink()
    assert check("--check")[0] == 2


@pytest.mark.parametrize("folder", ["records", "speed"])
def test_a_malformed_record_is_named_left_out_in_writing_and_an_error_in_checking(call, check, small, folder):
    for name in ("x1.json", "x2.json"):
        (small / folder / name).write_text('{"schema_version": 2}')
    code, out = check()
    assert code == 0 and "x1.json is not a readable" in call.err and "x2.json" in call.err and "from 2 records" in out
    assert "x1.json" not in (small / "leaderboard.html").read_text(encoding="utf-8")
    code, _ = check("--check")
    assert code == 2 and "x1.json" in call.err and "x2.json" in call.err and call.err.count("\n") == 1
    for name in ("x1.json", "x2.json"):
        (small / folder / name).unlink()
    assert check("--check")[0] == 0


def test_no_records_and_no_block_are_errors_that_teach(call, check, small, tmp_path):
    code, _ = check("--results-dir", "nowhere")
    assert code == 2 and "has no records; make one: aptp-bench run" in call.err
    (tmp_path / "other.md").write_text("nothing")
    code, _ = check("--readme", "other.md")
    assert code == 2 and "other.md has no block" in call.err and OPEN in call.err and CLOSE in call.err


def test_the_readmes_block_links_from_where_the_readme_is(call, check, small, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(README, encoding="utf-8")
    assert check("--readme", "docs/page.md")[0] == 0 and check("--check", "--readme", "docs/page.md")[0] == 0
    text = (tmp_path / "docs" / "page.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 4 and all((tmp_path / "docs" / link).is_file() for link in links)
    assert "not comparable with papers" in text


def test_without_a_block_the_readme_is_left_alone(call, check, small, tmp_path):
    (tmp_path / "README.md").write_text("no block", encoding="utf-8")
    assert check()[0] == 0 and check("--check")[0] == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "no block"


def test_names_from_records_stay_in_the_folder_and_are_escaped(tmp_path, make_record):
    results = tmp_path / "deep" / "results"
    for name, settings in (("a", []), ("b", []), ("evil", ["x=a|b", "y=c<i>", "z=`"])):
        record = make_record(name, settings=settings)
        path = results / "records" / f"{name}.json"
        evil = record.results.pop("fid")
        record.results["../../evil|<i>"] = evil
        records.write(record, path)
    Publication.of(results).write()
    assert {p.parent.name for p in tmp_path.rglob("*") if p.is_file()} == {"records", "results", "figures"}
    assert not fails(results)
    text = (results / "leaderboard.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 3  # the board, its variants, and who is ahead of whom in two metrics
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "<i>" not in re.sub(r"`[^`\n]*`", "", text).replace("\\<i\\>", "")  # what stands in code is shown as it is


@pytest.fixture
def paired(tmp_path: Path, make_record: Any) -> Path:
    """Two methods whose images differ little prompt by prompt, and one that kept no replicates."""
    scores = np.random.default_rng(0).normal(3.0, 5.0, 512)
    for method, worse in (("a", 0.0), ("b", 0.3)):
        own = (scores + worse + np.random.default_rng(len(method)).normal(0, 0.1, 512)).tolist()
        record = make_record(method, fid=(float(np.mean(own)), 2.5, 3.5))
        found = record.results["fid"].model_copy(update={"replicates": tuple(own)})
        content, facts = replicates.packed({"fid": found})
        path = records.save(record.model_copy(update={"replicates": facts}), tmp_path / "results")
        replicates.path_of(path).parent.mkdir(exist_ok=True)
        replicates.path_of(path).write_bytes(content)
    records.save(make_record("old", fid=(4.0, 2.9, 5.1)), tmp_path / "results")
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    return tmp_path / "results"


def test_pairs_are_on_page_in_markdown_in_the_readme_and_a_figure(check, paired):
    assert check()[0] == 0 and check("--check")[0] == 0
    page, markdown = ((paired / f"leaderboard.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    assert re.search(r'<td class="won" title="a − b: -0\.[^"]* p = [^"]* after Holm; 512 prompts, one seed">▲', page)
    assert re.search(r'<td class="open" title="a − old: [^"]*unpaired: old kept no replicates">', page)
    assert re.search(r"^\| a \|  \|.* ▲ -0\.\d+ \|", markdown, re.MULTILINE)
    assert "1 of 3 pairs in at least one metric: FID 1" in markdown and "after Holm over the 3 pairs" in markdown
    assert "which says nothing of another training" in markdown and "old kept no replicates" in markdown
    (figure,) = (paired / "figures").glob("pairs-*.svg")
    assert figure.name in markdown


def test_changed_or_missing_replicates_are_found(check, paired):
    assert check()[0] == 0
    file = sorted((paired / "replicates").glob("a-*"))[0]
    content = file.read_bytes()
    for harmed in (content[:-1] + bytes([content[-1] ^ 1]), content + b"x"):
        file.write_bytes(harmed)
        assert check("--check")[0] == 2
    file.write_bytes(content)
    assert check("--check")[0] == 0
    file.unlink()
    assert check("--check")[0] == 2
    assert check()[0] == 0 and "a has lost its replicates" in (paired / "leaderboard.md").read_text(encoding="utf-8")


def test_what_is_told_apart_can_be_read_by_scripts(check, paired):
    code, out = check("--json")
    (board,) = json.loads(out)["boards"]
    assert code == 0 and (board["dataset"], board["model"], board["budget"]) == ("coco", "mini-sd", 0.78)
    assert (board["pairs"], board["separated"]["fid"], board["separated"]["any"], board["paired"]["fid"]) == (
        3,
        1,
        1,
        1,
    )
    assert not (paired / "leaderboard.md").exists()


def test_smoke_runs_have_a_page_without_ranks_or_figures(tmp_path, make_record):
    for method in ("a", "b"):
        records.save(make_record(method, world="smoke"), tmp_path)
    made = Publication.of(tmp_path)
    made.write()
    assert made.figures == {} and "a ranking of them would mean nothing" in (tmp_path / "leaderboard.md").read_text()
    assert 'class="rank' not in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")


def test_workflows_check_run_and_rebuild_with_no_more_rights_than_they_need():
    found = {path.stem: yaml.safe_load(path.read_text()) for path in WORKFLOWS.glob("*.yml")}
    lines = {
        name: [s.get("run", "") for job in flow["jobs"].values() for s in job["steps"]] for name, flow in found.items()
    }
    assert "aptp-bench leaderboard --check" in lines["smoke"] and "aptp-bench leaderboard" in lines["leaderboard"]
    assert sum(line.startswith("aptp-bench run --method") and "--scale smoke" in line for line in lines["smoke"]) == 2
    assert found["smoke"]["permissions"] == {"contents": "read"}
    for flow in (found["smoke"], found["leaderboard"]):
        uses = [s["uses"] for job in flow["jobs"].values() for s in job["steps"] if "uses" in s]
        assert uses and all(re.fullmatch(r"actions/[a-z-]+@v\d+", each) for each in uses)
    assert not any("secrets." in path.read_text() for path in WORKFLOWS.glob("*.yml"))


def test_a_record_that_may_not_be_ranked_is_listed_apart_in_every_form(tmp_path, make_record):
    for method, dirty in (("clean", False), ("other", False), ("unsure", True)):
        path = records.save(make_record(method, how={"dirty": dirty}), tmp_path)
    (board,) = Publication.of(tmp_path).boards
    Publication.of(tmp_path).write()
    assert {row.entry.method for row in board.rows} == {"clean", "other"}
    for page in ("leaderboard.md", "leaderboard.html"):
        before, _, after = (tmp_path / page).read_text(encoding="utf-8").partition("Listed apart")
        assert f"records/{path.name}" in after and "unsure" not in before
