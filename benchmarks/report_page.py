"""How large a run's page is, how long it takes to make, and how soon it answers in a browser.

    python -m benchmarks.report_page [--write]

Made runs of 100 and 2,000 cells, each with a profile per cell and 300 runs a cell, and one with the 5,000
runs a cell that fast models take. Needs what tests/web/setup.sh installs.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from perf.page.document import render_page
from perf.report.finished_run import read_finished_run
from perf.schema.record import Record
from tests.page import made_runs
from tests.web.browser import Browser

# What the issue asks for: cells, megabytes, seconds.
BARS = {100: (1.0, 2.0), 2000: (10.0, 20.0)}
INTERACTIVE_MS = 1000.0
FILTERED = "1 of {} cells"


@dataclass(frozen=True)
class Seen:
    """One page: what it cost to make, and how it did in chromium."""

    cells: int
    runs: int
    megabytes: float
    seconds: float
    ready_ms: float  # parsed, and its script has run
    filter_ms: float
    sort_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    browser = Browser()
    try:
        found = [
            _look(browser, cells, runs) for cells, runs in ((100, 60), (100, 1000), (2000, 60))
        ]
    finally:
        browser.close()
    page.publish(_table(found), into_page=given.write)


def _look(browser: Browser, cells: int, runs: int) -> Seen:
    records = made_runs.many_cells(-(-cells // len(made_runs.TARGETS)), runs=runs)[:cells]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "page.html"
        seconds = _make(records, Path(scratch), path)
        size = path.stat().st_size / 1e6
        browser.open(path)
        ready = browser.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
        model = records[len(records) // 2].cell.model.name
        count = f"document.getElementById('shown').textContent === '{FILTERED.format(cells)}'"
        words = f"{model} cpuexecution"
        filtered = browser.evaluate(
            _answered(f"find.value = {words!r}; send(find, 'input')", count)
        )
        done = "document.querySelector('#matrix thead th:nth-child(2)').ariaSort === 'ascending'"
        press = "document.querySelector('#matrix thead th:nth-child(2) button').click()"
        ordered = browser.evaluate(_answered(press, done))
    return Seen(cells, 5 * runs, size, seconds, float(ready), float(filtered), float(ordered))


def _make(records: Sequence[Record], results: Path, path: Path) -> float:
    folder = made_runs.stored(results, records, [r.cell.id for r in records])
    run = read_finished_run(folder)
    begun = time.monotonic()
    path.write_bytes(render_page([run]).encode("utf-8", "replace"))
    return time.monotonic() - begun


def _answered(act: str, done: str) -> str:
    """JavaScript that acts, and gives the milliseconds until the result is painted."""
    return (
        "new Promise(tell => { const find = document.getElementById('find');"
        " const send = (e, kind) => e.dispatchEvent(new Event(kind, {bubbles: true}));"
        f" const begun = performance.now(); {act};"
        f" const look = () => {done} ? requestAnimationFrame(() => tell(performance.now() - begun))"
        " : requestAnimationFrame(look); look(); })"
    )


def _table(found: Sequence[Seen]) -> page.Table:
    return page.Table(
        "report_page",
        "python -m benchmarks.report_page",
        ("cells", "runs a cell", "MB", "bar", "made in s", "bar", "interactive in ms", "found in ms", "sorted in ms", "bar"),
        tuple(
            (
                f"{s.cells:,}", f"{s.runs:,}", f"{s.megabytes:.2f}", f"< {BARS[s.cells][0]:g}",
                f"{s.seconds:.2f}", f"< {BARS[s.cells][1]:g}", f"{s.ready_ms:.0f}", f"{s.filter_ms:.0f}",
                f"{s.sort_ms:.0f}", f"< {INTERACTIVE_MS:g}",
            )
            for s in found
        ),
        ("Made from records that are read already; a profile of 40 kernels a cell is read besides.",),
    )  # fmt: skip


if __name__ == "__main__":
    main()
