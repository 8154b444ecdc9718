"""What a terminal shows while a run goes on, and what a pipe and a resting terminal do not."""

import os
import pty
import re
import subprocess
import threading
from pathlib import Path

import pytest

from perf.report.live_display import LiveDisplay, describe_time_to_go, format_minutes
from tests import models
from tests.asking import QUICK, ask, command

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(home: Path, *words: str, **variables: str) -> str:
    """What a run writes to its terminal, both streams."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **variables}
    with subprocess.Popen(
        command("-m", "models", "-o", "result", *words), cwd=home, stdin=theirs, stdout=theirs, stderr=theirs,
        env=env,
    ) as run:  # fmt: skip
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            said += part
        assert run.wait(timeout=60) == 0
    os.close(ours)
    return said.decode()


def test_what_a_run_says_is_wrapped_at_words_on_a_narrow_terminal(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    said = on_a_terminal(home, *QUICK, "--intra_op_threads", "64", COLUMNS="60")
    lines = [x.rpartition("\r")[2] for x in ESCAPE.sub("", said).replace("\r\n", "\n").split("\n")]
    to_copy = ("run ", "page: ")
    wide = [x for x in lines if len(x) > 60 and not x.startswith(to_copy) and " --rerun " not in x]
    assert wide == []
    at = next(i for i, x in enumerate(lines) if x.startswith("--intra_op_threads 64 is more"))
    assert lines[at + 1].startswith("    ")
    at = next(i for i, x in enumerate(lines) if x.startswith("3 cells: 2 Passed, 1 Mismatched."))
    assert lines[at + 1].startswith("    ")


def test_a_terminal_shows_how_far_it_is_and_what_is_done_now_and_keeps_none_of_it(
    home: Path,
) -> None:
    said = on_a_terminal(home, *QUICK)
    shown = ESCAPE.sub("", said)
    assert re.search(r"\d of 2 cells; ", shown)
    assert re.search(r"(setting up|measuring) \S+.*, \d+ s", shown)
    assert said.count("\x1b[?25h") >= said.count("\x1b[?25l")  # the cursor is left visible
    last = said.rstrip().splitlines()[-1]
    assert ESCAPE.sub("", last) == "2 cells: 2 Passed."
    assert "\x1b[32mPassed\x1b[0m" in said


def test_no_color_and_the_flag_are_heeded(home: Path) -> None:
    assert "\x1b[32m" not in on_a_terminal(home, *QUICK, NO_COLOR="1")
    assert "\x1b[32m" not in on_a_terminal(home, *QUICK, "--color", "never")
    assert "\x1b[32mPassed\x1b[0m" in ask(home, *QUICK, "--color", "always").out
    said = ask(home, *QUICK)
    assert "\x1b" not in said.out + said.err


def test_a_dry_run_ends_with_the_minutes_and_knows_earlier_runs(home: Path) -> None:
    first = ask(home, *QUICK, "--launches", "5", "--dry_run").out.splitlines()[-1]
    assert first == "about 22 s"
    ran = ask(home, *QUICK)
    took_s = sum(r.wall_s for r in ran.records.values())
    known = ask(home, *QUICK, "--dry_run").out.splitlines()[-1]
    assert known.endswith(", 2 cells as in earlier runs")
    assert abs(float(known.split()[1]) - took_s) <= 1


@pytest.mark.parametrize(
    ("elapsed_s", "ended", "known", "says"),
    [
        (0.0, 0, {}, "0 s so far"),
        (10.0, 0, {"a": 30.0, "b": 30.0, "c": 60.0}, "about 2 min to go, as in earlier runs"),
        (119.0, 0, {"a": 30.0, "b": 30.0, "c": 60.0}, "about 30 s to go, as in earlier runs"),
        (70.0, 2, {"c": 60.0}, "about 60 s to go, as in earlier runs"),
        (20.0, 1, {"b": 5.0}, "about 40 s to go"),
        (20.0, 3, {}, "20 s so far"),
    ],
)
def test_the_time_to_go(elapsed_s: float, ended: int, known: dict[str, float], says: str) -> None:
    assert describe_time_to_go(elapsed_s, ended, 3, known) == says


def test_minutes_are_short() -> None:
    shown = [format_minutes(s) for s in (3.2, 89, 90, 3600, 7800)]
    assert shown == ["3 s", "89 s", "2 min", "60 min", "2 h 10 min"]


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    display = LiveDisplay(3, {})
    display.begin("measuring m::cpu, launch 1")
    display.tell_stage("time", 0.0, 1800.0)
    assert threading.active_count() == before
    display.end_cell("m::cpu", failed=True)
    head, now = display.lines(5.0)
    assert head.startswith("1 of 3 cells, 1 failed; ")
    assert now == "measuring m::cpu, launch 1: time, 5 s of 1800 s at most"
    display.close()
