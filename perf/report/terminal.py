"""Lines and tables that a person sees while a run goes on and when it ends."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TextIO

from perf.machine.system import SystemInfo
from perf.report import sections
from perf.report.layout import Section, lines, printable
from perf.results import tables
from perf.results.cell_row import make_cell_row
from perf.results.columns import CellRow
from perf.results.latency import collect_marks, published_launches, summarise_latency
from perf.schema import outcomes
from perf.schema.record import Record
from perf.stats.summary import PairedGain

USUAL_WIDTH = 80  # where no terminal tells its own
TAIL_LINES = 3  # of the engine's own log
LONGEST = 400  # characters of one line of a log


def cell_line(record: Record, gain: PairedGain | None) -> str:
    """One line for a finished cell: id, outcome, time, launches, io, share placed, gain over the CPU EP."""
    row = make_cell_row(record, gain, run_id=record.run_id)
    parts = [row.cell, row.exact_outcome]
    if row.status != outcomes.PASS and row.detail:
        parts.append(sections.shortened(row.detail, 160))
    parts += [p for p in (_time(record), _placed(row), _gain(gain), _marked(record)) if p]
    return printable("  ".join(parts))


def failure_lines(record: Record, rerun_command: str) -> list[str]:
    """Three lines for a failure: id and outcome with its stage; its log's last words; how to run it again.

    What was skipped or not run has nothing to say but its reason: one line.
    """
    head = cell_line(record, None)
    if outcomes.status(record.outcome) != outcomes.FAIL:
        return [head]
    said = [printable(t).strip()[:LONGEST] for t in record.log_tail if t.strip()][-TAIL_LINES:]
    tail = " | ".join(said) or "(its log holds no line of the engine's own)"
    return [head, f"    {tail}", f"    {rerun_command}"]


def summary_line(records: Sequence[Record]) -> str:
    """The last line: outcomes counted, and what `--strict` makes of them."""
    counts = Counter(outcomes.name(r.outcome) for r in records)
    told = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing was planned"
    wrong = sum(outcomes.status(r.outcome) != outcomes.PASS for r in records)
    line = f"{len(records)} cell{'' if len(records) == 1 else 's'}: {told}."
    if wrong:
        them = "1 cell that did not pass" if wrong == 1 else f"{wrong} cells that did not pass"
        line += f" With --strict, {them} would make the exit status 1."
    return line


def print_tables(
    records: Sequence[Record],
    host: SystemInfo,
    *,
    stream: TextIO | None = None,
    width: int | None = None,
    run_id: str = "",
) -> None:
    """Print the predecessor's sections, fitted to the terminal; plain where there is none, or no rich."""
    out = stream if stream is not None else sys.stdout
    room = width or shutil.get_terminal_size((USUAL_WIDTH, 24)).columns
    rows = tables.cell_rows(records, run_id=run_id, host=host.hostname)
    shown = sections.all_sections(list(zip(records, rows, strict=True)), host, room)
    console = _console(out, room)
    for section in shown:
        if console is None:
            out.write("\n".join(("", *lines(section, room), "")))
        else:
            _print_rich(console, section)


def _time(record: Record) -> str:
    found = summarise_latency(record)
    if found is None:
        return ""
    runs = sorted({len(x.timed.samples_ns) for x in published_launches(record) if x.timed})
    count = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
    middle, around = found.summary.p50, found.spread.half_range
    spread = "" if around is None else f" ± {sections.milliseconds(around, middle)}"
    io = "+".join(sorted({x.timed.io for x in published_launches(record) if x.timed}))
    return (
        f"p50 {sections.milliseconds(middle)} ms{spread}"
        f"  {found.spread.launches} x {count} runs  io {io}"
    )


def _placed(row: CellRow) -> str:
    if row.total_ops is None:
        return "placement unproven" if row.placement_source else ""
    if row.ops_on_ep is None:
        return ""
    if row.total_ops == 0:
        return "no nodes left after folding"
    return f"{row.ops_on_ep}/{row.total_ops} nodes on EP"


def _gain(gain: PairedGain | None) -> str:
    if gain is None or gain.interval is None:
        return ""
    bounds = f"[{gain.interval.low:.1f}, {gain.interval.high:.1f}]"
    if not gain.claimed:
        return f"no gain over the CPU EP can be claimed {bounds} %"
    return f"{gain.percent:+.1f} % over the CPU EP {bounds}"


def _marked(record: Record) -> str:
    found = collect_marks(record)
    return f"({', '.join(found)})" if found else ""


def _console(stream: TextIO, width: int) -> Any:
    """A rich console on a terminal; None where the stream is none, or rich is not there."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console  # lazily: a run does not need it
    except ImportError:
        return None
    return Console(file=stream, width=width, highlight=False)


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
