"""Whole comparisons: golden output and exit status for every verdict, and one clear line for bad input."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from comparison import noise
from comparison.cli import Question
from perf.results.run_folder import RunFolder, read_records
from perf.results.tables import write_all
from perf.schema import outcomes
from tests.comparison.cases import BASE, CASES, FAILS, scaled
from tests.comparison.runs import Made, cell_of, compare, record_of, write_run, write_two
from tests.results.hand_made import host

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", CASES)
def test_every_verdict_has_its_golden_output_and_exit_status(name: str) -> None:
    case = CASES[name]
    found = compare(*write_two(case.previous, case.current), *case.flags)
    assert found.status == case.status
    told = Path("out.csv").read_text(encoding="utf-8").replace("\r\n", "\n") + "\n" + found.out
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


def test_no_golden_output_is_left_over() -> None:
    assert {p.stem for p in GOLDEN.iterdir()} == set(CASES)


def test_the_latency_command_writes_regressions_of_averages_only() -> None:
    words = write_two((BASE, Made(model="b")), (scaled(1.6), replace(FAILS, model="b")))
    found = compare(*words, question=Question.LATENCY)
    assert found.status == 1
    told = {(r["model"], r["metric"], r["verdict"]) for r in found.rows}
    assert told == {("squeezenet", m, "Slower (suspect)") for m in ("latency_p50", "latency_mean")}
    assert compare(*words, "--tolerance", "70", question=Question.LATENCY).status == 0


def test_the_failures_command_writes_new_failures_only() -> None:
    old, new = replace(FAILS, model="old"), replace(FAILS, model="new")
    words = write_two((BASE, old), (FAILS, old, new))
    found = compare(*words, question=Question.FAILURES)
    assert found.status == 1
    told = [(r["model"], r["verdict"]) for r in found.rows]
    assert told == [("squeezenet", "Broke"), ("new", "Added (fails)")]
    assert compare("-p", "a", "-c", "a", question=Question.FAILURES).status == 0


def test_the_order_of_records_and_rows_does_not_matter() -> None:
    previous = tuple(Made(model=f"m{i}") for i in range(6))
    current = tuple(scaled(1 + i / 10, m) for i, m in enumerate(previous))
    answers = []
    for seed in "12":
        for side, cells in (("p", previous), ("c", current)):
            folder = Path(side + seed)
            folder.mkdir()
            records = [record_of(m) for m in random.Random(seed).sample(cells, len(cells))]
            write_all(records, host(), folder, folder, "run")
        answers.append(compare("-p", f"p{seed}/cells.csv", "-c", f"c{seed}/cells.csv"))
    assert answers[0].status == 1
    assert answers[0].rows == answers[1].rows


def test_a_table_gives_the_verdicts_of_its_records_on_what_it_holds() -> None:
    stored = write_two((BASE,), (scaled(1.6),))
    for side in "ab":
        records = read_records(RunFolder(Path("result"), side))
        write_all(records, host(), Path("result", side), Path("result"), side)
    tables = ("-p", "result/a/cells.csv", "-c", "result/b/cells.jsonl")
    told = [
        {(r["metric"], r["verdict"], r["worse"]) for r in compare(*words).rows}
        for words in (stored, tables)
    ]
    assert told[1] < told[0]
    assert {r[0] for r in told[0] - told[1]} == {"latency_slow_end"}  # tables have no samples


def test_latest_and_the_run_before_it() -> None:
    for i, name in enumerate(("first", "second")):
        write_run(Path("result") / name, [scaled(1 + i)])
        os.utime(Path("result") / name / "run.json", (i, i))
    assert compare("-p", "latest~1", "-c", "latest").status == 1
    assert compare("-p", "latest", "-c", "latest~1").status == 0
    Path("result/latest").symlink_to("first")  # a resumed run is the latest, whatever its age
    assert compare("-p", "latest", "-c", "latest~1").status == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "-p a -c nowhere",
            "nowhere: no such file, folder, run id or saved name below result/; known runs: a",
        ),
        ("", "give -p PREV and -c CURRENT"),
        ("-p a -c a --across moon", "invalid choice: 'moon'"),
        ("-p a -c a --fdr 200", "200: a percentage between 0 and 100"),
        ("-p latest~7 -c a", "latest~7: result/ holds 1 runs"),
        ("--ab a", "not an A/B run"),
        ("-p a -c a --ep Metal", "no cell of Metal; it has CUDAExecutionProvider"),
        ("-p a -c a -o no/out.csv", "no/out.csv: No such file or directory"),
        ("-p a -c a --expected x.toml", "x.toml: no such file"),
    ],
)
def test_bad_requests_cost_one_line(words: str, line: str) -> None:
    write_run(Path("result/a"), [BASE])
    found = compare(*words.split())
    assert found.status == 2
    assert line in found.err
    assert found.err.count("\n") == 1


def test_torn_files_are_named(tmp_path: Path) -> None:
    words = write_two((BASE,), (BASE,))
    path = noise.find_profile(noise.find_machine_id())
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    torn = compare(*words)
    assert torn.status == 2
    assert "delete it and run python -m comparison.calibrate" in torn.err
    path = next(Path("result/b").glob("cells/*/*/*/record.json"))
    path.write_bytes(path.read_bytes()[:200])
    noise.find_profile(noise.find_machine_id()).unlink()
    torn = compare(*words)
    assert torn.status == 2, "a run of one record that is torn"
    assert "record.json: not a record this version reads" in torn.err


@pytest.mark.parametrize("script", ["comparison_script", "compare_latency", "new_failures"])
def test_the_scripts_run_from_any_folder(script: str, tmp_path: Path) -> None:
    fine = Made(model="fine")
    words = write_two((BASE, fine), (FAILS, fine))
    done = subprocess.run(
        [sys.executable, str(ROOT / "comparison" / f"{script}.py"), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == (0 if script == "compare_latency" else 1)


def test_markdown_survives_what_names_hold() -> None:
    words = write_two((Made(model="a|b"),), (replace(FAILS, model="a|b"),))
    row = next(
        x for x in compare(*words, "--markdown").out.splitlines() if x.startswith("| Broke")
    )
    assert row.replace("\\|", "").count("|") == 8


def test_a_comparison_is_exported_as_a_page_and_for_programs() -> None:
    words = write_two((BASE,), (scaled(1.6),))
    found = compare(*words, "--export", "html=changes.html", "--export", "json")
    assert found.status == 1
    assert json.loads(found.out)["lines"]
    page = Path("changes.html").read_text(encoding="utf-8")
    assert "a → b" in page
    assert "Slower (suspect)" in page
    assert compare(*words, "--export", "pdf").status == 2
    assert compare(*words, "--json", "--markdown").status == 2


def test_what_fails_a_comparison_is_chosen_by_name() -> None:
    slower = write_two((BASE,), (scaled(1.6),))
    assert compare(*slower, "--fail_on", "Broke,Mismatched").status == 0
    assert compare(*slower, "--fail_on", "slower").status == 1
    assert compare(*slower, "--fail_on", "none").status == 0
    write_run(Path("result/wrong"), [FAILS])
    same = ("-p", "wrong", "-c", "wrong")
    assert compare(*same).status == 0
    assert compare(*same, "--strict").status == 1
    outcome = outcomes.name(FAILS.outcome)
    assert compare(*same, "--fail_on", outcome).status == 1
    Path("known.toml").write_text(
        f'["{cell_of(FAILS).id}"]\noutcome = "{outcome}"\nreason = "known"\n'
    )
    assert compare(*same, "--strict", "--expected", "known.toml").status == 0


def test_verdicts_are_written_of_names_that_are_no_text() -> None:
    name = "net\udcff"  # a file name of other bytes than UTF-8, as Python reads it
    answer = compare(*write_two((Made(model=name),), (Made(model=name),)))
    assert answer.status == 0, answer.err
    assert {row["model"] for row in answer.rows} == {r"net\udcff"}
