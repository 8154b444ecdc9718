"""ep-perf report: pages, exports and tables of runs that were killed, resumed, or are still going."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import junitparser
import pytest

from perf.results.run_folder import RunFolder, own_run
from tests.asking import QUICK, ROOT, Said, ask, command


def report(home: Path, *words: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", "perf.cli.report", *words], cwd=home, capture_output=True, text=True,
        timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


@pytest.fixture(scope="module")
def ran(shared_home: Path) -> Said:
    ask(shared_home, *QUICK, "--run_id", "one", "--models", "relu")
    return ask(shared_home, *QUICK, "--run_id", "two")


def test_one_page_for_several_runs_by_any_of_their_names(ran: Said) -> None:
    home = ran.results.parent
    said = report(home, "latest~1", "result/two", "-o", "both.html")
    assert (said.status, said.out, said.err) == (0, "", "page: both.html\n")
    page = (home / "both.html").read_text()
    assert "Runs one, two" in page
    assert report(home, "one", "two").err == "error: several runs need -o FILE: one, two\n"
    said = report(home, "never")
    assert (said.status, said.err.count("\n")) == (2, 1)


def test_what_is_exported_is_what_the_run_would_have(ran: Said) -> None:
    home = ran.results.parent
    said = report(home, "two", "--export", "json", "--export", "junit=x/cells.xml")
    assert said.status == 0
    assert {c["model"] for c in json.loads(said.out)["cells"]} == {"relu", "linear"}
    assert junitparser.JUnitXml.fromfile(str(home / "x" / "cells.xml")).tests == 2


def test_tables_of_a_killed_run_are_rebuilt_as_it_would_have_written_them(home: Path) -> None:
    words = ("-m", "models", "-o", "result", *QUICK, "--launches", "5", "--run_id", "killed")
    with subprocess.Popen(
        command(*words), cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while not list(home.glob("result/killed/cells/*/*/*/record.json")):
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    root = home / "result" / "killed"
    assert not (root / "cells.csv").exists()
    said = report(home, "killed")
    assert said.status == 0, said.err
    rows = [json.loads(x) for x in (root / "cells.jsonl").read_text().splitlines()]
    assert [r["outcome"] for r in rows] == ["Passed"] * len(rows)
    assert (home / "result" / "benchmark_latency_killed.csv").is_file()
    assert (root / "report_killed.html").is_file()
    if len(rows) < 2:
        assert "1 of 2 cells have no record: --resume killed runs them" in said.err
    before = (root / "cells.jsonl").read_bytes()
    assert "tables" not in report(home, "killed").err  # written already
    assert (root / "cells.jsonl").read_bytes() == before


def test_a_run_that_is_still_going_keeps_its_tables_to_itself(ran: Said) -> None:
    table = ran.results / "two" / "cells.csv"
    kept = table.read_bytes()
    table.unlink()
    with own_run(RunFolder(ran.results, "two"), fresh=False):
        said = report(ran.results.parent, "two", "-o", "so_far.html")
        assert said.status == 0
        assert "run two has not ended" in said.err
        assert not table.exists()
    assert report(ran.results.parent, "two").status == 0
    assert table.read_bytes() == kept
