"""Suspects of stored runs asked again, old environment against new, interleaved in one fresh run."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comparison import rerun
from comparison.cell_summary import CellSummary, Metric
from comparison.judge import Criteria, judge_cells
from comparison.match import ACROSS, Matched, match_cells
from comparison.run_records import read_run, split
from comparison.verdict import Faster, Line, Same, Slower, Unclear, Verdict, change_of
from perf.results.latency import OVERHEAD_BOUND_MS

OLD, NEW = "previous", "current"  # environments of the fresh run


@dataclass(frozen=True)
class Group:
    """Suspects that one A/B run can ask: a target, and the interpreter of either side."""

    target: str
    previous: str
    current: str


def confirm_suspects(
    lines: Sequence[Line],
    matched: Sequence[Matched],
    run: Path,
    results: Path,
    criteria: Criteria,
    max_minutes: float,
) -> tuple[Line, ...]:
    """Each suspect with what an interleaved re-run says of it, or why it could not be asked again."""
    cells = {m.cell.id: m for m in matched}
    groups: dict[Group, list[Line]] = defaultdict(list)
    told: dict[int, Line] = {}
    for i, line in enumerate(lines):
        if isinstance(line.verdict, Slower | Faster | Unclear) and line.verdict.suspect:
            found = _group(cells[line.cell])
            if isinstance(found, Group):
                groups[found].append(line)
            else:
                told[i] = replace(line, confirmed=f"not asked again: {found}")
    answers: dict[tuple[str, Metric], Verdict] = {}
    for group, suspects in groups.items():
        answers |= _asked(
            group, suspects, run, results, replace(criteria, paired=True), max_minutes
        )
    return tuple(
        told.get(i) or settled(line, answers.get((line.cell, line.metric)))
        for i, line in enumerate(lines)
    )


def _group(m: Matched) -> Group | str:
    """What to run, or why it cannot be run."""
    a, b = m.previous, m.current
    if a is None or b is None or not a.interpreter or not b.interpreter:
        return "a table does not say in which environment it ran"
    for cell in (a, b):
        if not Path(cell.interpreter).is_file():
            return f"{cell.interpreter} is no longer there"
    if a.interpreter == b.interpreter:
        return "both sides ran in the same environment, so an A/B would compare it with itself"
    if a.variant or b.variant:
        return "variants are asked again by --ab with their --ep_options"
    return Group(_bare(b), a.interpreter, b.interpreter)


def _asked(
    group: Group,
    suspects: Sequence[Line],
    run: Path,
    results: Path,
    criteria: Criteria,
    minutes: float,
) -> Mapping[tuple[str, Metric], Verdict]:
    labels = (f"{group.target}@{OLD}", f"{group.target}@{NEW}")
    bound = any(
        _overhead_bound(x) for x in suspects
    )  # launches forked from one host share its layout
    words = [
        *rerun.as_before(run, {"isolation": "spawn"} if bound else {}), "--ab", *labels,
        "--env", f"{OLD}={group.previous}", f"{NEW}={group.current}",
        "--models", *sorted({x.model for x in suspects}), "--max_minutes", f"{minutes:g}",
    ]  # fmt: skip
    folder = rerun.run_again(words, results, f"confirm-{time.time_ns():x}")
    a, b = split(read_run(folder), *labels)
    found = judge_cells(match_cells(a, b, ACROSS), a, b, criteria)
    by_model = {(x.model, x.metric): x.verdict for x in found}
    return {
        (x.cell, x.metric): by_model[x.model, x.metric]
        for x in suspects
        if (x.model, x.metric) in by_model
    }


def _overhead_bound(line: Line) -> bool:
    change = change_of(line.verdict)
    if change is None or line.metric not in (Metric.P50, Metric.MEAN):
        return False
    return min(change.previous, change.current) < OVERHEAD_BOUND_MS


def settled(line: Line, answer: Verdict | None) -> Line:
    """A suspect after its re-run: confirmed, taken back, or still a suspect."""
    if answer is None:
        return line
    change = change_of(answer)
    what = f"{100 * (change.ratio - 1):+.1f} %" if change else ""
    seen = change_of(line.verdict)
    match answer:
        case Slower(c, _, note) | Faster(c, _, note) if seen and (c.ratio > 1) == (seen.ratio > 1):
            kind = type(answer)
            return replace(line, verdict=kind(c, suspect=False, note=f"confirmed interleaved: {note}"),
                           confirmed=f"confirmed: {what}")  # fmt: skip
        case Same(c, note):
            return replace(line, verdict=Same(c, f"a suspect ({_was(line)}), not confirmed"),
                           confirmed=f"not confirmed: {what} in {note}")  # fmt: skip
        case Unclear(why):
            return replace(line, confirmed=f"still open interleaved: {why}")
        case _:
            return replace(line, verdict=Unclear(f"a suspect ({_was(line)}), contradicted interleaved"),
                           confirmed=f"contradicted: {what}")  # fmt: skip


def _was(line: Line) -> str:
    change = change_of(line.verdict)
    return f"{100 * (change.ratio - 1):+.1f} %" if change else "unknown"


def _bare(cell: CellSummary) -> str:
    return cell.target.partition("@")[0]
