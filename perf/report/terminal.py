"""Lines and tables that a person sees while a run goes on and when it ends."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from perf.machine.system import SystemInfo
from perf.report import sections
from perf.report.layout import Section, format_section, printable
from perf.results import tables
from perf.results.cell_row import CellRow, make_cell_row
from perf.results.latency import published_launches
from perf.schema import outcomes
from perf.schema.record import Record
from perf.stats.summary import PairedGain

USUAL_WIDTH = 80  # where no terminal tells its own
TAIL_LINES = 3  # of the engine's own log
LONGEST = 400  # characters of one line of a log


def format_cell(record: Record, gain: PairedGain | None) -> str:
    """One line for a finished cell: id, outcome, time, launches, io, share placed, gain over the CPU EP."""
    row = make_cell_row(record, gain, run_id=record.run_id)
    parts = [row.cell, row.exact_outcome]
    if row.status != outcomes.PASS and row.detail:
        parts.append(sections.shorten(row.detail, 160))
    marks = f"({', '.join(row.marks)})" if row.marks else ""
    parts += [_describe_time(record, row), _describe_placement(row), _describe_gain(gain), marks]
    return printable("  ".join(p for p in parts if p))


def format_failure(record: Record, rerun_command: str) -> list[str]:
    """Three lines for a failure: id and outcome with its stage; its log's last words; how to run it again.

    What was skipped or not run has nothing to say but its reason: one line.
    """
    head = format_cell(record, None)
    if outcomes.status(record.outcome) != outcomes.FAIL:
        return [head]
    last = [printable(t).strip()[:LONGEST] for t in record.log_tail if t.strip()][-TAIL_LINES:]
    tail = " | ".join(last) or "(its log holds no line of the engine's own)"
    return [head, f"    {tail}", f"    {rerun_command}"]


def format_summary(records: Sequence[Record]) -> str:
    """The last line: outcomes counted, and what `--strict` makes of them."""
    counts = Counter(outcomes.name(r.outcome) for r in records)
    counted = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing was planned"
    wrong = sum(outcomes.status(r.outcome) != outcomes.PASS for r in records)
    line = f"{len(records)} cell{'' if len(records) == 1 else 's'}: {counted}."
    if wrong:
        them = "1 cell that did not pass" if wrong == 1 else f"{wrong} cells that did not pass"
        line += f" With --strict, {them} would make the exit status 1."
    return line


def print_tables(records: Sequence[Record], host: SystemInfo) -> None:
    """Print the predecessor's sections, fitted to the terminal; plain where there is none, or no rich."""
    room = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns
    cells = tables.tabulate_cells(records, run_id="")
    console = _open_console(room)
    for section in sections.all_sections(cells, host, room):
        if console is None:
            print("", *format_section(section, room), sep="\n")
        else:
            _print_rich(console, section)


def _describe_time(record: Record, row: CellRow) -> str:
    if row.p50_ms is None:
        return ""
    runs = sorted({len(x.timed.samples_ns) for x in published_launches(record) if x.timed})
    count = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
    half_range = sections.format_ms(row.launch_half_range_ms, row.p50_ms)
    spread = f" ± {half_range}" if half_range else ""
    time = f"p50 {sections.format_ms(row.p50_ms)} ms{spread}"
    return f"{time}  {row.launches} x {count} runs  io {row.io}"


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
    bounds = f"[{gain.interval.low:.1f}, {gain.interval.high:.1f}]"
    if not gain.claimed:
        return f"no gain over the CPU EP can be claimed {bounds} %"
    return f"{gain.percent:+.1f} % over the CPU EP {bounds}"


def _open_console(width: int) -> Any:
    """A rich console on a terminal; None where the output is none, or rich is not there."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console  # lazily: a run does not need it
    except ImportError:
        return None
    return Console(width=width, highlight=False)


def _print_rich(console: Any, section: Section) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = Text(section.title, style="bold")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in section.columns:
        side: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(column.heading), justify=side, overflow="fold", no_wrap=column.firm)
    for row in section.rows:
        table.add_row(*(Text(printable(text)) for text in row))
    console.print()
    console.print(table)
    for remark in section.remarks:
        console.print(Text(printable(remark)))
