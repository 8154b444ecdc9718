"""kill -9 at any moment of an export: every file is whole or not there, and can be made again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from perf.cli.run_export import write_run
from perf.exports.export import FORMATS
from perf.page.write import page_path, write_report
from perf.report.finished_run import read_finished_run
from perf.request.export_request import ExportRequest
from tests.page import made_runs

ROOT = Path(__file__).parents[2]


def is_whole(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8")  # line ends as they are
    match path.name:
        case "junit":
            return ET.fromstring(text).tag == "testsuites"
        case "ctrf" | "sarif" | "bencher" | "json":
            return isinstance(json.loads(text), dict)
        case "csv":
            return text.endswith("\r\n") and text.count("\r\n") == 29
        case "openmetrics":
            return text.endswith("# EOF\n")
        case "page.html":
            return text.endswith("</html>\n")
        case _:
            return text.endswith("\n")


def wait_for(file: Path) -> float:
    """Seconds until a file is there."""
    began = time.monotonic()
    while not file.exists():
        assert time.monotonic() - began < 60
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("kills", [25, pytest.param(100, marks=pytest.mark.torture)])
def test_random_kills_leave_every_export_whole_or_absent(tmp_path: Path, kills: int) -> None:
    rng, found = random.Random(24), Counter[str]()
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.exports.export_for_ever"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdin
    assert server.stdout
    with server:
        assert server.stdout.readline() == "ready\n"
        whole_s = 0.0  # how long all exports take here; the first is let go on
        for n in range(kills + 1):
            folder = tmp_path / str(n)
            folder.mkdir()
            server.stdin.write(f"{folder}\n")
            server.stdin.flush()
            exporting = int(server.stdout.readline())
            if not n:
                whole_s = wait_for(folder / "page.html")
            time.sleep(rng.uniform(0, whole_s))
            os.kill(exporting, signal.SIGKILL)
            assert int(server.stdout.readline()) == -signal.SIGKILL
            for path in folder.iterdir():
                if not path.name.startswith("."):  # drafts, which nobody reads
                    assert is_whole(path), path
                    found[path.name] += 1
    assert set(found) == {*FORMATS, "page.html"}
    assert found.total() > kills


def test_who_reads_an_older_export_while_it_is_written_anew_reads_the_older_whole(
    tmp_path: Path,
) -> None:
    run, path = made_runs.run_of(made_runs.many_cells(1)), tmp_path / "out"
    for name in (*FORMATS, "html"):
        path.write_text("older")
        with path.open() as older:
            write_run(ExportRequest(name, path), run)
            assert older.read() == "older", name
        assert path.read_text() != "older"


def test_exports_of_a_killed_run_are_made_again_from_its_folder(tmp_path: Path) -> None:
    records = made_runs.many_cells(2)
    folder = made_runs.stored(tmp_path, records[:9])
    torn = folder.cell(records[9].cell) / "record.json"
    torn.parent.mkdir(parents=True)
    torn.write_text('{"torn')
    run = read_finished_run(folder)
    assert [r.cell.id for r in run.records] == [r.cell.id for r in records[:9]]
    for name in FORMATS:
        write_run(ExportRequest(name, tmp_path / name), run)
        assert (tmp_path / name).stat().st_size > 0
    page = write_report(page_path(folder), [run]).read_text()
    assert page.count("data-o=") > 9
