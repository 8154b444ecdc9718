"""Whole comparisons: golden output and exit status for every verdict, and one clear line for bad input."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.cli import Question, main
from perf.results.tables import write_all
from perf.schema import record
from tests.comparison.cases import BASE, CASES, FAILS, scaled
from tests.comparison.runs import HOST, Made, record_of, write_run

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


def two_runs(previous: tuple[Made, ...], current: tuple[Made, ...]) -> list[str]:
    write_run(Path("result/a"), previous)
    write_run(Path("result/b"), current)
    return ["-p", "a", "-c", "b"]


@pytest.mark.parametrize("name", CASES)
def test_every_verdict_has_its_golden_output_and_exit_status(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    words = [*two_runs(case.previous, case.current), "-o", "out.csv", *case.flags]
    assert main(Question.ALL, words) == case.status
    told = Path("out.csv").read_text(encoding="utf-8").replace("\r\n", "\n")
    told += "\n" + capsys.readouterr().out
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


def test_no_golden_output_is_left_over() -> None:
    assert {p.stem for p in GOLDEN.iterdir()} == set(CASES)


def test_the_latency_command_writes_regressions_of_averages_only() -> None:
    words = two_runs((BASE, Made(model="b")), (scaled(1.6), replace(FAILS, model="b")))
    assert main(Question.LATENCY, [*words, "-o", "out.csv"]) == 1
    rows = Path("out.csv").read_text().splitlines()
    assert len(rows) == 3
    assert all("squeezenet" in r and "Slower" in r and "latency_" in r for r in rows[1:])
    assert main(Question.LATENCY, [*words, "--tolerance", "70"]) == 0


def test_the_failures_command_writes_new_failures_only() -> None:
    old, new = replace(FAILS, model="old"), replace(FAILS, model="new")
    words = two_runs((BASE, old), (replace(FAILS), old, new))
    assert main(Question.FAILURES, [*words, "-o", "out.csv"]) == 1
    rows = Path("out.csv").read_text().splitlines()[1:]
    assert [(r.split(",")[1], r.split(",")[4]) for r in rows] == [
        ("squeezenet", "Broke"),
        ("new", "Added (fails)"),
    ]
    assert main(Question.FAILURES, ["-p", "a", "-c", "a"]) == 0


def test_the_order_of_records_and_rows_does_not_matter() -> None:
    previous = tuple(Made(model=f"m{i}") for i in range(6))
    current = tuple(scaled(1 + i / 10, m) for i, m in enumerate(previous))
    for n, seed in enumerate((1, 2)):
        cells = [random.Random(seed).sample(x, len(x)) for x in (previous, current)]
        records = [[record_of(m) for m in side] for side in cells]
        for side, found in zip("pc", records, strict=True):
            folder = Path(f"t{n}{side}")
            (folder / "result").mkdir(parents=True)
            write_all(found, HOST, folder, folder / "result", "run")
        assert (
            main(
                Question.ALL,
                ["-p", f"t{n}p/cells.csv", "-c", f"t{n}c/cells.csv", "-o", f"{n}.csv"],
            )
            == 1
        )
    assert Path("0.csv").read_bytes() == Path("1.csv").read_bytes()


def test_a_table_gives_the_verdicts_of_its_records_on_what_it_holds() -> None:
    two_runs((BASE,), (scaled(1.6),))
    for side in "ab":
        found = [
            record.read_record(p) for p in Path("result", side).glob("cells/*/*/*/record.json")
        ]
        write_all(found, HOST, Path("result", side), Path("result"), side)
    rows = []
    for words in (
        ["-p", "a", "-c", "b"],
        ["-p", "result/a/cells.csv", "-c", "result/b/cells.jsonl"],
    ):
        main(Question.ALL, [*words, "-o", "out.csv"])
        rows.append({tuple(r.split(",")[3:6]) for r in Path("out.csv").read_text().splitlines()})
    assert rows[1] < rows[0]
    assert {r[0] for r in rows[0] - rows[1]} == {"latency_slow_end"}  # tables have no samples


def test_latest_and_the_run_before_it() -> None:
    for i, name in enumerate(("first", "second")):
        write_run(Path("result") / name, [scaled(1 + i)])
        os.utime(Path("result") / name / "run.json", (i, i))
    assert main(Question.ALL, ["-p", "latest~1", "-c", "latest"]) == 1
    assert main(Question.ALL, ["-p", "latest", "-c", "latest~1"]) == 0
    Path("result/latest").symlink_to("first")  # a resumed run is the latest, whatever its age
    assert main(Question.ALL, ["-p", "latest", "-c", "latest~1"]) == 1


BAD = {
    "no such run": (
        ["-p", "a", "-c", "nowhere"],
        "nowhere: no such file, folder or run id below result/",
    ),
    "no arguments": ([], "give -p PREV and -c CURRENT"),
    "unknown field": (["-p", "a", "-c", "a", "--across", "moon"], "invalid choice: 'moon'"),
    "bad percentage": (
        ["-p", "a", "-c", "a", "--fdr", "200"],
        "200: a percentage between 0 and 100",
    ),
    "too far back": (["-p", "latest~7", "-c", "a"], "latest~7: result/ holds"),
    "not an A/B run": (["--ab", "a"], "not an A/B run"),
    "no such target": (
        ["-p", "a", "-c", "a", "--ep", "Metal"],
        "no cell of Metal; it has CUDAExecutionProvider",
    ),
    "output nowhere": (
        ["-p", "a", "-c", "a", "-o", "no/out.csv"],
        "no/out.csv: No such file or directory",
    ),
    "no expectations": (["-p", "a", "-c", "a", "--expected", "x.toml"], "x.toml: no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_cost_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, line = BAD[name]
    write_run(Path("result/a"), [BASE])
    assert main(Question.ALL, words) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_a_torn_record_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = two_runs((BASE,), (BASE,))
    path = next(Path("result/b").glob("cells/*/*/*/record.json"))
    path.write_bytes(path.read_bytes()[:200])
    assert main(Question.ALL, words) == 2
    assert "record.json: not a record this version reads" in capsys.readouterr().err


def test_a_torn_profile_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from comparison import noise

    path = noise.path(noise.machine_id())
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert path.is_relative_to(tmp_path)
    assert main(Question.ALL, two_runs((BASE,), (BASE,))) == 2
    assert "delete it and run python -m comparison.calibrate" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["comparison_script", "compare_latency", "new_failures"])
def test_the_scripts_run_from_any_folder(script: str, tmp_path: Path) -> None:
    fine = Made(model="fine")
    words = two_runs((BASE, fine), (FAILS, fine))
    done = subprocess.run(
        [sys.executable, str(ROOT / "comparison" / f"{script}.py"), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == (0 if script == "compare_latency" else 1)


def test_markdown_survives_what_names_hold(capsys: pytest.CaptureFixture[str]) -> None:
    odd = Made(model="a|b")
    main(Question.ALL, [*two_runs((odd,), (replace(FAILS, model="a|b"),)), "--markdown"])
    told = capsys.readouterr().out
    row = next(x for x in told.splitlines() if x.startswith("| Broke"))
    assert row.replace("\\|", "").count("|") == 8
