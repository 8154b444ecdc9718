"""The page of a run that many hosts made: where its cells ran, and which hosts are not to be trusted."""

import html
import re
from pathlib import Path

from perf.fleet.merge import merge_runs
from perf.page.document import render_page
from perf.report.finished_run import read_finished_run
from tests.fleet.made_runs import IDS, RUN_ID, canary, host, measured, write_shard

N1, N2 = host("n1"), host("n2")


def read_page(folder: Path, *moments: tuple[float, float]) -> str:
    """The text of a merged run's page; moments are of the canary on n1 and n2."""
    parts = ((N1, IDS[:2]), (N2, IDS[2:]))
    made = [
        write_shard(folder / on.hostname, [*(measured(i, on) for i in ids), canary(on, at)], (on,), shard=f"{n}/2")
        for n, ((on, ids), at) in enumerate(zip(parts, moments, strict=True), 1)
    ]  # fmt: skip
    run = merge_runs(made, RUN_ID, folder / "merged").run
    return html.unescape(re.sub(r"<[^>]*>", "", render_page([read_finished_run(run)])))


def test_footnotes_tell_where_cells_ran(tmp_path: Path) -> None:
    text = read_page(tmp_path, (2.0, 2.0), (2.0, 2.0))
    assert "Cells ran on n1 (3 cells) and n2 (5 cells)." in text  # their canaries too
    assert "is flagged" not in text


def test_a_flagged_host_is_named_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    text = read_page(tmp_path, (2.0, 3.0), (2.0, 2.0))
    assert "Host n1 is flagged: drifted: latency_" in text
    assert "went +50 %" in text
    assert "Host n2" not in text
