"""The page of all runs: what it says, and that chromium shows it without an error, light and dark, at every width."""

import html
import json
import random
import re
from pathlib import Path

import pytest

from perf.cli import report
from perf.history.history_page import render_history
from tests.history.made_history import write_history
from tests.web.browser import Browser

CELL = "squeezenet::CPUExecutionProvider"


def noisy(n: int, ms: float, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [ms * (1 + chance.gauss(0, 0.01)) for _ in range(n)]


def released(results: Path, version: str, *runs: int) -> None:
    for i in runs:
        table = results / f"run{i:04}" / "cells.jsonl"
        row = json.loads(table.read_text())
        row["versions"] = {"onnxruntime": version, "numpy": "2.4.6"}
        table.write_text(json.dumps(row) + "\n")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    results = tmp_path / "result"
    write_history(results, noisy(15, 5.0) + noisy(15, 6.0, 1))
    released(results, "1.30.0", *range(15))
    released(results, "1.31.1", *range(15, 30))
    write_history(results, noisy(3, 9.0), first=30, machine="<another> & more")
    assert report.main(["--history", "--results", str(results)]) == 0
    return results / "history.html"


def test_it_names_steps_releases_and_machines(page: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")))
    told = " ".join(text.split())
    assert "2 cells: 1 worse since the last step, none better." in told
    assert "in run0015 (before: run0014): onnxruntime 1.30.0 -> 1.31.1" in told
    assert "<another> & more" in told
    assert "Figures of two machines are never put together." in told
    assert re.search(r"1\.30\.0 1\.31\.1", told)
    found = re.search(r"6\.\d+ ms \+(\d+\.\d) %", told.replace("\u00a0", " "))
    assert found
    assert 18 < float(found[1]) < 22


def test_nothing_is_a_page_too() -> None:
    assert "No run has told of a cell." in render_history([])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_a_browser_shows_it_without_an_error(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    browser.open(page, width, scheme)
    told = browser.told()
    assert (told["console"], told["errors"]) == ([], [])
    assert told["requests"] == [f"file://{page}"]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.axe() == []
