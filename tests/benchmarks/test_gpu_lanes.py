"""The table of lanes, from runs that are there, and without those that are not."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import lanes
from perf.results import tables
from perf.schema import codec
from perf.schema.record import NotRun
from tests.results import hand_made
from tests.results.hand_made import CUDA


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two models measured in turn and in lanes; the second one's runs in turn were cut short."""
    for number, way in enumerate(("never", "always", "always", "never"), start=1):
        run, slower = tmp_path / f"{way}_{number}", 1.1 if way == "always" else 1.0
        run.mkdir()
        both = [
            hand_made.benchmarked(
                hand_made.cell(model, CUDA), [4.0 * slower, 4.1 * slower, 4.2 * slower], {CUDA: 5}
            )
            for model in ("whole", "cut")
        ]
        if way == "never":
            both[1] = hand_made.failed(both[1].cell, NotRun("interrupted"))
        tables.write_all(both, hand_made.host(), run, tmp_path, run.name)
        (run / "host.json").write_text(json.dumps(codec.encode(hand_made.host())))
    return tmp_path


def test_both_ways_are_laid_side_by_side_and_what_has_but_one_is_named(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lanes", str(results)])
    lanes.main()
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("| whole::")]
    assert [c.strip() for c in row.split("|")[2:5]] == ["6 + 6", "4.100 ± 2.4 %", "4.510 ± 2.4 %"]
    assert row.split("|")[5].strip().startswith("+10.0 ± ")
    assert not any(line.startswith("| cut::") for line in lines)
    assert f"- Not launched both ways: cut::{CUDA}." in lines
    assert "- Board, driver 550.1; 2 cores of AMD EPYC" in lines
