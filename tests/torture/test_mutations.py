"""Journals, records and runs with bits flipped, pieces gone and numbers that cannot be."""

import contextlib
import random
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from comparison.cli import Question
from comparison.run_records import summarise_record
from perf.results.latency import is_published
from perf.results.shapes import split_by_shapes
from perf.results.tables import tabulate_cells, to_csv, to_json
from perf.schema import codec, journal, record
from perf.schema.fold import Expectation, fold_launch
from perf.schema.record import Ending, Launch, LaunchKind, Outcome, Record
from tests.asking import ROOT
from tests.comparison.runs import compare
from tests.torture.figures import Figures

RUNS = ROOT / "tests/stored_runs/cb0f346/result"
OUTCOMES = typing.get_args(Outcome)
NOTHING = Expectation()
DONE = Ending(status=0, signal=None)
WORDS = (
    b"null", b"-1", b"0", b"1e999", b"NaN", b"9" * 400, b"[]", b"{}", b'""', b"[" * 3000, b"\xff\xfe",
    b"\\ud800", b"\\u0000", b'"is":"Crashed",', b"true", b"1.5", b"\n", b'{"is":"Finished"}\n',
)  # fmt: skip
MANY = pytest.param(20_000, marks=[pytest.mark.torture, pytest.mark.timeout(600)])


def mutated(draw: random.Random, data: bytes) -> bytes:
    """As a disk, a kill or a hostile worker may leave it."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 12))):
        at = draw.randrange(len(out) or 1)
        match draw.randrange(6):
            case 0:
                out[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                del out[at : at + draw.choice((1, 3, 40))]
            case 2:
                del out[at:]
            case 3:
                out[at:at] = draw.choice(WORDS)
            case 4:  # a number or a text is another
                end = min((k for k in (out.find(c, at) for c in b",]}") if k > 0), default=at)
                begin = max(out.rfind(c, 0, at) for c in b":[,") + 1
                out[begin:end] = draw.choice(WORDS)
            case _:
                end = out.find(b"\n", at) + 1 or len(out)
                out[at:at] = out[at:end]
    return bytes(out)


def seeds(name: str) -> list[Path]:
    found = sorted(RUNS.rglob(name))
    assert len(found) > 5
    return found


@pytest.mark.parametrize("attempts", [500, MANY])
def test_any_journal_folds_into_an_outcome(figures: Figures, attempts: int) -> None:
    draw, texts = random.Random(5), [p.read_bytes() for p in seeds("journal.jsonl")]
    for _ in range(attempts):
        events = journal.parse_journal(mutated(draw, draw.choice(texts)))
        launch = fold_launch("measure_0", LaunchKind.MEASURE, events, DONE, NOTHING)
        assert isinstance(launch.outcome, OUTCOMES)
        assert launch.timed is None or min(launch.timed.samples_ns, default=1) > 0
        assert codec.decode(Launch, codec.encode(launch)) == launch
    figures.add("mutated journals", attempts, attempts)


@pytest.mark.parametrize("attempts", [200, MANY])
def test_any_record_is_refused_or_told_in_tables(
    tmp_path: Path, figures: Figures, attempts: int
) -> None:
    draw, texts = random.Random(6), [p.read_bytes() for p in seeds("record.json")]
    path, read = tmp_path / "record.json", 0
    for _ in range(attempts):
        path.write_bytes(mutated(draw, draw.choice(texts)))
        for found in readable(path):
            for cell in tabulate_cells([found], run_id="r"):
                assert to_json(cell.row)
                assert to_csv(["row"], [[str(cell.row)]])
            assert is_published(found) in (True, False)
            for shaped in split_by_shapes(found):
                assert summarise_record(shaped, {}).id
            read += 1
    assert 0 < read < attempts
    figures.add("mutated records", attempts, attempts)


def readable(path: Path) -> Iterator[Record]:
    """The record there, if it can be read: nothing else than a refusal may come of one that cannot."""
    with contextlib.suppress(OSError, ValueError):
        yield record.read_record(path)


@pytest.mark.parametrize("attempts", [8, pytest.param(200, marks=pytest.mark.torture)])
def test_a_run_with_damaged_records_is_compared_in_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures, attempts: int
) -> None:
    draw = random.Random(7)
    monkeypatch.chdir(tmp_path)
    for k in range(attempts):
        shutil.copytree(RUNS / "outcomes", Path("result") / f"b{k}")
        paths = sorted(Path("result", f"b{k}").rglob("record.json"))
        (torn,) = draw.sample(paths, 1)
        torn.write_bytes(b"" if k == 0 else mutated(draw, torn.read_bytes()))
        found = compare("-p", str(RUNS / "outcomes"), "-c", f"result/b{k}", question=Question.ALL)
        assert found.status in (0, 1), found
        left_out = [line for line in found.out.splitlines() if "left out" in line]
        assert len(left_out) <= 1
        assert k or str(torn) in left_out[0]
        assert len({r["cell"] for r in found.rows}) >= len(paths) - 1
    figures.add("comparisons of damaged runs", attempts, attempts)
