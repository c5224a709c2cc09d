from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "diffusers", "transformers", "datasets", "numpy", "pandas", "matplotlib"}
ASKED = [["--help"], [], ["run", "--help"], ["--version"], ["methods", "--help"]]
ASK = """
import contextlib, io, json, sys
import aptp_bench.config
from aptp_bench.cli import main
seen = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["aptp-bench", *words]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    seen.append([said.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})])
print(json.dumps(seen))
"""


def test_help_version_and_settings_load_nothing_heavy():
    words = [sys.executable, "-c", ASK, json.dumps(ASKED)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    for asked, (said, modules) in zip(ASKED, json.loads(done.stdout), strict=True):
        assert "aptp-bench" in said and not HEAVY & set(modules), asked


def test_the_console_script_and_the_module_are_there():
    script = [str(Path(sys.executable).with_name("aptp-bench"))]
    for command in (script, [sys.executable, "-m", "aptp_bench"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.startswith("aptp-bench ")


def test_listing_and_resolving_load_no_network_library(tracked, tmp_path):
    """Every plugin's facts, every row's recipe and a whole table are had without torch."""
    load = "from aptp_bench import registry\n[p.load() for g in registry.GROUPS[:-1] for p in registry.plugins(g).values()]\n"
    asked = ["tables", "aptp_1b", "--out", "a.md", "--results-dir", str(tracked / "results")]
    words = [sys.executable, "-c", load + ASK, json.dumps([asked])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    ((_, modules),) = json.loads(done.stdout)
    assert "Table 1b" in (tmp_path / "a.md").read_text(encoding="utf-8") and not (HEAVY - {"numpy"}) & set(modules)
