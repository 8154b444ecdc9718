"""What a person reads, on a pipe, on a terminal, with and without rich."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perf.report import terminal
from perf.results import gains
from perf.schema.journal import Placement, Stage
from perf.schema.record import NativeFrame, Outcome, Raised, Record
from tests.results import hand_made as made

RECORDS = made.two_models()
ROOT = Path(__file__).parents[2]


def line(record: Record, base: Record | None = None) -> str:
    """A cell's line, its gain over `base`."""
    return terminal.format_cell(record, gains.gain_between(base, record) if base else None)


class Shown(io.StringIO):
    """Text that stands on a terminal, or goes down a pipe."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def printed(records: tuple[Record, ...], width: int, *, pipe: bool = False) -> list[str]:
    """The tables on a terminal of this width, without rich, or down a pipe."""
    out = Shown(terminal=not pipe)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("COLUMNS", str(width))
        patch.setitem(sys.modules, "rich.console", None)
        terminal.print_tables(records)
    return out.getvalue().splitlines()


def test_a_line_tells_time_spread_launches_io_placement_and_gain() -> None:
    assert line(RECORDS[1], RECORDS[0]) == (
        "squeezenet::CUDAExecutionProvider  Passed  p50 4.040 ms ± 0.050  5 x 20 runs  io host"
        "  60/65 nodes on EP  1.99 × faster than the CPU EP [1.97, 2.01]"
    )
    unclaimed = "no gain over the CPU EP can be claimed [0.93, 1.08] ×"
    assert line(RECORDS[4], RECORDS[0]).endswith(unclaimed)
    validated = replace(RECORDS[0], launches=RECORDS[0].launches[:1])
    assert line(validated) == "squeezenet::CPUExecutionProvider  Passed  65/65 nodes on EP"
    unequal = (made.measure(0, [1.0] * 20), made.measure(1, [1.0] * 153))
    assert "2 x 20-153 runs" in line(Record(made.cell(checked=False), made.PASSED, unequal))


def test_a_line_says_what_mars_it() -> None:
    small = made.benchmarked(made.cell(checked=False), (0.05,), {})
    assert line(small) == (
        "squeezenet::CPUExecutionProvider  Passed  p50 0.0500 ms  1 x 20 runs  io host"
        "  no nodes left after folding  (unchecked, overhead-bound)"
    )


def test_a_placement_that_nobody_told_is_unproven() -> None:
    check = replace(RECORDS[0].launches[0], placement=None)
    assert line(replace(RECORDS[0], launches=(check,))).endswith("placement unproven")
    nobody = replace(check, placement=Placement("profile", {made.CPU: 3}, {}, {}))
    record = Record(replace(RECORDS[0].cell, provider=""), made.PASSED, (nobody,))
    assert line(record) == "squeezenet::CPUExecutionProvider  Passed"


@pytest.mark.parametrize("outcome", made.EVERY_OUTCOME)
def test_every_failure_is_three_lines_and_what_was_not_tried_is_one(outcome: Outcome) -> None:
    found = terminal.format_failure(made.failed(made.cell(), outcome), "again")
    status, _, exact, _ = made.EVERY_OUTCOME[outcome]
    log = "    [E] kernel not found | Foo(1) is not supported"
    assert found[1:] == ([log, "    again"] if status == "Fail" else [])
    assert exact in found[0]
    assert "\n" not in found[0]


def test_a_log_can_neither_flood_nor_steer_the_terminal() -> None:
    record = replace(RECORDS[6], log_tail=("old", "\x1b[2J" + "x" * 5000, "", "b", "c"))
    head, said, _ = terminal.format_failure(record, "again")
    assert head.endswith("Crashed(run, SIGSEGV)  the process was ended by SIGSEGV")
    assert "\x1b" not in said
    assert len(said) < 500
    assert said.endswith(" | b | c")
    silent = terminal.format_failure(replace(RECORDS[6], log_tail=()), "again")
    assert silent[1] == "    (its log holds no line of the engine's own)"


def test_below_a_crash_stand_its_stack_and_how_to_see_it_in_gdb() -> None:
    frames = tuple(NativeFrame(f"f{i}", "/opt/lib\x1b.so" if i else "") for i in range(20))
    crashed = replace(RECORDS[6], native_stack=frames)
    head, _, stack, again, gdb = terminal.format_failure(crashed, "again", "gdb --args python")
    assert head.endswith("ended by SIGSEGV")
    assert stack == "    native stack: f0" + "".join(f" < f{i} (lib .so)" for i in range(1, 8))
    assert (again, gdb) == ("    again", "    gdb --args python")


def test_the_last_line_counts_and_names_strict() -> None:
    assert terminal.format_summary(RECORDS) == (
        "10 cells: 5 Passed, 1 Mismatched, 1 Crashed, 1 TimedOut, 1 Skipped, 1 NotRun."
        " With --strict, 5 cells that did not pass would make the exit status 1."
    )
    assert terminal.format_summary(RECORDS[:1]) == "1 cell: 1 Passed."
    assert terminal.format_summary(()) == "0 cells: nothing was planned."


def test_every_section_is_there_and_fits_80_columns() -> None:
    found = printed(RECORDS, 80)
    assert all(len(text) <= 80 for text in found)
    titles = [text.strip("= ") for text in found if text.startswith("==")]
    kinds = ("latency (ms)", "gains", "status", "metrics")
    models = [f"Models/EPs {kind}" for kind in kinds]
    assert titles == [*models, "Failing Models/EPs", "Fastest EP per model"]
    assert (
        "  TensorrtExecutionProvider_fp16  1.020  1.005  0.050  1.100  1.111   84   8.00" in found
    )
    assert "squeezenet  TRT_CUDA_gain  2.00 × faster   [1.91, 2.05]      5" in found
    assert "  TensorrtExecutionProvider_fp16  Skipped  Skipped" in found
    (at,) = (
        i for i, t in enumerate(found) if t.startswith("  CUDAExecutionProvider ") and "92.3" in t
    )
    assert found[at].split()[1:] == ["65", "60", "92.3", "%", "92.3", "%"]
    assert found[at + 1] == "    left on others: Conv x5"
    wide = printed(RECORDS, 200)
    assert wide[wide.index("== Models/EPs status ==") + 4].split() == [
        "bert", "Fail", "Fail", "Fail", "Skipped", "NotRun",
    ]  # fmt: skip


def test_a_gap_is_split_and_builds_are_held_beside_each_other() -> None:
    alone = made.cell(target="Standalone_TRT", provider="")
    rebuilt = (
        made.benchmarked(replace(alone, variant=f"build={i}", options={"build": i}), (ms,) * 5, {})
        for i, ms in (("1", 0.9), ("2", 1.1))
    )
    found = printed((*RECORDS, made.benchmarked(alone, (0.9,) * 5, {}), *rebuilt), 100)
    at = found.index("== An EP and its engine alone, Python and C++ (ms) ==")
    assert found[at + 3].split()[-4:] == ["1.100", "2.000", "less", "0.900"]
    assert found[at + 4].startswith("  transfers ")
    assert "not measured" in found[at + 4]  # the EP was not run with io=device
    (off,) = (x for x in found if x.startswith("  off TensorRT "))
    assert off.split()[2] == "0.100"  # kernels of other providers, from the profile
    at = found.index("== Engines built again ==")
    built = ["squeezenet", "/", "Standalone_TRT", "2", "of", "2", "1.000", "0.100", "10.0"]
    assert found[at + 3].split()[:9] == built


@pytest.mark.parametrize("targets", [1, 3, 12])
def test_many_targets_stay_readable_at_80_columns(targets: int) -> None:
    cells = [made.cell(target=f"Number{i}ExecutionProvider") for i in range(targets)]
    records = tuple(made.benchmarked(c, (1.0, 1.1), {c.provider: 1}) for c in cells)
    found = printed(records, 80)
    assert all(len(text) <= 80 for text in found)
    for cell in cells:
        assert sum(cell.target.label in text for text in found) >= 2


def test_nothing_is_wrapped_where_the_output_is_no_terminal() -> None:
    reason = " ".join(f"word{i}" for i in range(100))
    record = replace(RECORDS[6], outcome=Raised(Stage.RUN, "Fail", reason))
    (found,) = (t for t in printed((record,), 80, pipe=True) if "word0 " in t)
    assert found.endswith(reason)
    lines = terminal.format_failure(record, "again")
    assert terminal.wrap_lines(lines, Shown(terminal=False)) == lines


def test_a_terminal_gets_lines_wrapped_at_words_and_commands_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    reason = " ".join(f"word{i}" for i in range(100))
    record = replace(RECORDS[6], outcome=Raised(Stage.RUN, "Fail", reason))
    command = "again " * 30
    *told, last = terminal.wrap_lines(
        terminal.format_failure(record, command), Shown(terminal=True)
    )
    assert last == f"    {command}"
    assert max(map(len, told)) <= 60
    assert " ".join(" ".join(told).split()).count(reason) == 1


def test_the_fastest_target_of_a_model_is_named_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = printed(RECORDS, 100)
    at = found.index("== Fastest EP per model ==")
    assert found[at + 3].split() == [
        "squeezenet", "TensorrtExecutionProvider_fp16", "1.005", "TensorrtExecutionProvider,", "2.020", "ms",
    ]  # fmt: skip
    same = made.benchmarked(made.cell(target="Other"), (8.0,) * 5, {})
    assert printed((RECORDS[0], same), 100)[-1].endswith("ms, not told apart")
    assert "== Fastest EP per model ==" not in printed(RECORDS[:1], 100)


def test_a_duration_is_read_at_a_glance() -> None:
    told = [terminal.format_duration(s) for s in (0.4, 59.4, 200, 3599.6, 7500)]
    assert told == ["0 s", "59 s", "3 min 20 s", "1 h 00 min", "2 h 05 min"]


def test_marks_are_listed_once_under_the_latencies() -> None:
    cells = [made.cell(f"m{i}") for i in range(5)]
    small = tuple(made.benchmarked(c, (0.05, 0.05), {made.CPU: 1}) for c in cells)
    (mark,) = [text for text in printed(small, 200) if text.startswith("overhead-bound")]
    assert mark.count("::") == 3
    assert mark.endswith(" and 2 more")


PROGRAM = """\
from perf.report import terminal
from tests.results import hand_made as made
terminal.print_tables(made.two_models())
"""


def run_program(tmp_path: Path, columns: int, *, hide_rich: bool) -> str:
    """What a program that prints the tables shows on a terminal of its own."""
    if hide_rich:
        (tmp_path / "rich.py").write_text("raise ImportError('no rich here')\n")
    reader, writer = os.openpty()
    env = {"COLUMNS": str(columns), "PYTHONPATH": f"{tmp_path}:{ROOT}", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=writer, env=env, cwd=ROOT, close_fds=True
    ) as child:
        os.close(writer)
        out = b""
        try:
            while part := os.read(reader, 65536):
                out += part
        except OSError:  # the terminal's other end is closed
            pass
    os.close(reader)
    assert child.returncode == 0
    return out.decode()


def test_a_terminal_gets_rich_tables_with_names_left_as_they_are(tmp_path: Path) -> None:
    found = run_program(tmp_path, 100, hide_rich=False)
    assert "\x1b[1m" in found
    assert "CUDAExecutionProvider[graph=1]" in found
    assert "Failing Models/EPs" in found


def test_a_terminal_without_rich_gets_plain_tables(tmp_path: Path) -> None:
    found = run_program(tmp_path, 80, hide_rich=True)
    assert "\x1b" not in found
    assert [text.rstrip("\r") for text in found.split("\n")] == [*printed(RECORDS, 80), ""]
