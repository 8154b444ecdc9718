"""Lines and tables that a person sees while a run goes on and when it ends."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TextIO

from perf.report import sections
from perf.report.fastest import list_fastest
from perf.report.layout import format_section, printable, wrap
from perf.results import tables
from perf.results.cell_figures import TOP_FRAMES, describe_frame
from perf.results.cell_row import CellResult, CellRow, format_signature, make_cell_row
from perf.results.latency import published_launches
from perf.results.shapes import split_by_shapes
from perf.schema import outcomes
from perf.schema.engine_message import lead_with_reason
from perf.schema.record import FellBack, Mismatched, NativeFrame, Outcome, Record, Skipped
from perf.stats.summary import PairedGain

USUAL_WIDTH = 80  # where no terminal tells its own
TAIL_LINES = 3  # of the engine's own log
LONGEST = 400  # characters of one line of a log


def format_cell(record: Record, gain: PairedGain | None) -> str:
    """One line for a finished cell: id, outcome, time, launches, io, share placed, gain over the CPU EP.

    Where its test sets differ in shapes, its figures are those of the first set's.
    """
    part = split_by_shapes(record)[0]
    row = make_cell_row(part, gain, run_id=record.run_id)
    parts = [row.cell, row.exact_outcome]
    if row.status != outcomes.PASS and row.detail:
        parts.append(sections.one_line(outcomes.reason(_without_cause(record.outcome))))
    marks = f"({', '.join(row.marks)})" if row.marks else ""
    parts += [
        _describe_time(part.record, row),
        _describe_placement(row),
        _describe_gain(gain),
        marks,
    ]
    return printable("  ".join(p for p in parts if p))


def _without_cause(outcome: Outcome) -> Outcome:
    """A mismatch without its sentence, which stands on a line of its own."""
    return replace(outcome, cause="") if isinstance(outcome, Mismatched) else outcome


def format_further_shapes(cell: CellResult) -> str:
    """The line below a finished cell for further shapes that it was fed."""
    parts = [cell.shapes, _describe_time(cell.record, cell.row), _describe_gain(cell.gain)]
    return printable("    " + "  ".join(p for p in parts if p))


def format_failure(record: Record, rerun_command: str, gdb_command: str = "") -> list[str]:
    """Lines for a failure: id and outcome; whose fault; its log's last words; how to run it again.

    Of a crash also its native stack, where it is known, and how to see it in gdb. What was skipped or not
    run has nothing to say but its reason: one line.
    """
    head = format_cell(record, None)
    if outcomes.status(record.outcome) != outcomes.FAIL:
        return [head]
    last = [lead_with_reason(t)[:LONGEST] for t in record.log_tail if t.strip()][-TAIL_LINES:]
    new = [t for t in last if t != outcomes.reason(record.outcome)[:LONGEST]]
    none = (
        ""
        if last or isinstance(record.outcome, Mismatched | FellBack)
        else "(its log holds no line of the engine's own)"
    )
    tail = printable(" | ".join(new)) or none
    cause = record.outcome.cause if isinstance(record.outcome, Mismatched) else ""
    stack = " < ".join(_fold_frames(record.native_stack)[:TOP_FRAMES])
    native = f"native stack: {printable(stack)}" if stack else ""
    below = (printable(cause), tail, native, rerun_command, gdb_command)
    return [head, *(f"    {line}" for line in below if line)]


def _fold_frames(frames: Sequence[NativeFrame]) -> list[str]:
    """A native stack, those frames in a row together that read alike: a library without symbols has many."""
    found = ((text, len(list(same))) for text, same in groupby(map(describe_frame, frames)))
    return [text if count == 1 else f"{count} × {text}" for text, count in found]


def format_summary(records: Sequence[Record], known: int = 0) -> str:
    """The last line: outcomes counted, and what `--strict` makes of them; `known` failed as expected."""
    counts = Counter(outcomes.name(r.outcome) for r in records)
    counted = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing was planned"
    wrong = sum(outcomes.status(r.outcome) != outcomes.PASS for r in records) - known
    line = f"{len(records)} cell{'' if len(records) == 1 else 's'}: {counted}."
    if known:
        line += f" {known} failed as expected."
    if wrong and not all(
        isinstance(r.outcome, Skipped) for r in records
    ):  # that is no success anyway
        them = "1 cell that did not pass" if wrong == 1 else f"{wrong} cells that did not pass"
        line += f" With --strict, {them} would make the exit status 1."
    return line


def print_tables(records: Sequence[Record]) -> None:
    """Print the predecessor's sections: fitted to a terminal, else with no line wrapped."""
    room = _terminal_width(sys.stdout)
    cells = tables.tabulate_cells(records, run_id="")
    shown = sections.all_sections(cells, shutil.get_terminal_size((USUAL_WIDTH, 24)).columns)
    fastest = list_fastest(cells)
    console = _open_console() if room else None
    for section in (*shown, *([fastest] if fastest.rows else [])):
        title, *lines = format_section(section, room)
        if console is None:
            print("", title, *lines, sep="\n")
        else:
            _print_rich(console, title, lines)


def wrap_lines(lines: Sequence[str], stream: TextIO) -> list[str]:
    """Lines wrapped at words on a terminal; what is left alone is a command, which is pasted."""
    room = _terminal_width(stream)
    if room is None:
        return list(lines)
    head, commands = (lines[:2], lines[2:]) if len(lines) > 2 else (lines, ())
    return [*(part for text in head for part in wrap(text, room)), *commands]


def format_duration(seconds: float) -> str:
    """54 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream leads to; None where it leads to none."""
    return shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if stream.isatty() else None


def _describe_time(record: Record, row: CellRow) -> str:
    if row.p50_ms is None:
        return ""
    runs = sorted({len(x.timed.samples_ns) for x in published_launches(record) if x.timed})
    count = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
    half_range = sections.format_ms(row.launch_half_range_ms, row.p50_ms)
    spread = f" ± {half_range}" if half_range else ""
    time = f"p50 {sections.format_ms(row.p50_ms)} ms{spread}"
    shapes = format_signature(row.input_shapes) if (row.shape_count or 1) > 1 else ""
    of_shapes = f"  of {shapes}" if shapes and row.shape_number == 1 else ""
    return f"{time}{of_shapes}  {row.launches} x {count} runs  io {row.io}"


def _describe_placement(row: CellRow) -> str:
    if row.total_ops is None:
        return "placement unproven" if row.placement_source else ""
    if row.ops_on_ep is None:
        return ""
    if row.total_ops == 0:
        return "no nodes left after folding"
    return f"{row.ops_on_ep}/{row.total_ops} nodes on EP"


def _describe_gain(gain: PairedGain | None) -> str:
    if gain is None or gain.interval is None:
        return ""
    if not gain.claimed:
        why = f", {gain.held_back}" if gain.held_back else ""
        return f"no gain over the CPU EP can be claimed {sections.format_factors(gain)} ×{why}"
    return f"{sections.format_gain(gain)} than the CPU EP {sections.format_factors(gain)}"


def _open_console() -> Any:
    """A rich console; None where rich is not there."""
    try:
        from rich.console import Console  # lazily: a run does not need it
    except ImportError:
        return None
    return Console(highlight=False)


def _print_rich(console: Any, title: str, lines: Sequence[str]) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(title, style="bold"), soft_wrap=True)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
