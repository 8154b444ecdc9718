"""The index follows the folders: new runs, changed ones, removed ones; damaged, locked or unwritable it is made anew."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perf.history.index import INDEX, open_index
from perf.request.bad_request import BadRequestError
from tests.history.made_history import write_history

ROOT = Path(__file__).parents[2]


def p50s(results: Path) -> list[float | None]:
    with open_index(results) as index:
        return [c.p50_ms for c in index.cells()]


def test_it_follows_runs_that_come_change_and_go(tmp_path: Path) -> None:
    write_history(tmp_path, [1.0, 2.0, 3.0])
    assert p50s(tmp_path) == [1.0, 2.0, 3.0]
    shutil.rmtree(tmp_path / "run0001")
    table = tmp_path / "run0002" / "cells.jsonl"
    table.write_text(table.read_text().replace('"p50_ms":3.0', '"p50_ms":30.5'))
    write_history(tmp_path, [4.0], first=3)
    assert p50s(tmp_path) == [1.0, 30.5, 4.0]
    with open_index(tmp_path) as index:
        runs = index.runs()
    assert [r.run_id for r in runs] == ["run0003", "run0002", "run0000"]
    assert (runs[0].label, runs[0].passed, runs[0].planned) == ("day 3", 1, 1)


def test_a_run_without_readable_tables_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_history(tmp_path, [1.0, 2.0])
    (tmp_path / "run0000" / "cells.jsonl").unlink()
    (tmp_path / "run0001" / "cells.jsonl").write_text("{")
    with open_index(tmp_path) as index:
        torn, gone = (r.problem for r in index.runs())
    assert "cells.jsonl:1: not JSON" in torn
    assert "tables were not written" in gone


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    write_history(tmp_path, [1.0, 2.0])
    assert p50s(tmp_path) == [1.0, 2.0]
    for path in tmp_path.glob(f"{INDEX}*"):
        path.unlink()
    (tmp_path / INDEX).write_bytes(damage)
    assert p50s(tmp_path) == [1.0, 2.0]
    assert (tmp_path / INDEX).stat().st_size > 4096


def test_two_that_write_it_at_once_lose_nothing(tmp_path: Path) -> None:
    write_history(tmp_path, [float(i + 1) for i in range(200)])
    code = f"from tests.history.test_index import p50s; from pathlib import Path; print(len(p50s(Path({str(tmp_path)!r}))))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [x.communicate(timeout=60)[0] for x in both] == ["200\n", "200\n"]
    assert len(p50s(tmp_path)) == 200


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no folder of results"), open_index(tmp_path / "no"):
        pass


def test_a_thousand_runs_are_listed_from_the_index(tmp_path: Path) -> None:
    write_history(tmp_path, [1.0] * 1000)
    begun = time.monotonic()
    p50s(tmp_path)
    first_s = time.monotonic() - begun
    begun = time.monotonic()
    assert len(p50s(tmp_path)) == 1000
    print(f"1,000 runs: indexed in {first_s:.2f} s, then read in {time.monotonic() - begun:.2f} s")


def test_a_run_that_names_half_a_character_harms_no_later_one(tmp_path: Path) -> None:
    write_history(tmp_path, [1.0, 2.0])
    for name in ("cells.jsonl", "run.json"):
        path = tmp_path / "run0000" / name
        told = path.read_text().replace('"label":"day 0"', '"label":"\\ud800"')
        path.write_text(told.replace("CPUExecutionProvider", "CPU\\udce9"))
    assert sorted(filter(None, p50s(tmp_path))) == [1.0, 2.0]
    with open_index(tmp_path) as index:
        assert [c.target for c in index.cells()][-1] == "CPU\\udce9"
        assert len(index.cells(index.cells()[-1].cell)) == 1
