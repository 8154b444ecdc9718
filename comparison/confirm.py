"""Suspects of stored runs run again, old environment against new, interleaved in one fresh run."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comparison import report, rerun
from comparison.cell_summary import Metric
from comparison.judge import Criteria, judge_cells
from comparison.match import ACROSS, CellPair, Matched, match_cells
from comparison.run_records import read_run, split_sides
from comparison.verdict import Faster, Line, Same, Slower, Unclear, Verdict, change_of
from perf.results.latency import OVERHEAD_BOUND_MS

OLD, NEW = "previous", "current"  # environments of the fresh run


@dataclass(frozen=True)
class RerunGroup:
    """Suspects that one A/B run can settle: a target, and the interpreter of either side."""

    target: str
    previous: str
    current: str


@dataclass(frozen=True)
class RerunPlan:
    """How suspects are run again: as in this run, into these results, judged so."""

    run: Path
    results: Path
    criteria: Criteria
    max_minutes: float  # for each run


def confirm_suspects(
    lines: Sequence[Line], matched: Sequence[Matched], plan: RerunPlan
) -> tuple[Line, ...]:
    """Each suspect with what an interleaved re-run says of it, or why it could not be run again."""
    pairs = {m.current.name: m for m in matched if isinstance(m, CellPair)}
    groups: dict[RerunGroup, list[Line]] = defaultdict(list)
    obstacles: dict[str, str] = {}
    for line in filter(_is_suspect, lines):
        match _find_group(pairs[line.name]):
            case RerunGroup() as group:
                groups[group].append(line)
            case why:
                obstacles[line.name] = f"not asked again: {why}"
    answers: dict[tuple[str, Metric], Verdict] = {}
    for group, suspects in groups.items():
        answers |= _run_group(group, suspects, plan)
    return tuple(
        replace(line, confirmed=obstacles[line.name])
        if _is_suspect(line) and line.name in obstacles
        else settle_suspect(line, answers.get((line.name, line.metric)))
        for line in lines
    )


def _is_suspect(line: Line) -> bool:
    return isinstance(line.verdict, Slower | Faster | Unclear) and line.verdict.suspect


def _find_group(pair: CellPair) -> RerunGroup | str:
    """What to run, or why it cannot be run."""
    a, b = pair.previous, pair.current
    if not a.interpreter or not b.interpreter:
        return "a table does not say in which environment it ran"
    for cell in (a, b):
        if not Path(cell.interpreter).is_file():
            return f"{cell.interpreter} is no longer there"
    if a.interpreter == b.interpreter:
        return "both sides ran in the same environment, so an A/B would compare it with itself"
    if a.variant or b.variant:
        return "variants are asked again by --ab with their --ep_options"
    return RerunGroup(b.target.partition("@")[0], a.interpreter, b.interpreter)


def _run_group(
    group: RerunGroup, suspects: Sequence[Line], plan: RerunPlan
) -> Mapping[tuple[str, Metric], Verdict]:
    labels = (f"{group.target}@{OLD}", f"{group.target}@{NEW}")
    # launches forked from one host share its memory layout, which is part of so short a time
    instead = {"isolation": "spawn"} if any(map(_is_overhead_bound, suspects)) else {}
    words = [
        *rerun.repeat_flags(plan.run, instead), "--ab", *labels,
        "--env", f"{OLD}={group.previous}", f"{NEW}={group.current}",
        "--models", *sorted({x.model for x in suspects}), "--max_minutes", f"{plan.max_minutes:g}",
    ]  # fmt: skip
    folder = rerun.run_wrapper(words, plan.results, f"confirm-{time.time_ns():x}")
    a, b = split_sides(read_run(folder), *labels)
    lines = judge_cells(match_cells(a, b, ACROSS), a, b, replace(plan.criteria, paired=True))
    by_model = {(x.model, x.shapes, x.metric): x.verdict for x in lines}
    return {
        (x.name, x.metric): by_model[x.model, x.shapes, x.metric]
        for x in suspects
        if (x.model, x.shapes, x.metric) in by_model
    }


def _is_overhead_bound(line: Line) -> bool:
    change = change_of(line.verdict)
    if change is None or line.metric not in (Metric.P50, Metric.MEAN):
        return False
    return min(change.previous, change.current) < OVERHEAD_BOUND_MS


def settle_suspect(line: Line, answer: Verdict | None) -> Line:
    """A suspect after its re-run: confirmed, taken back, or still a suspect."""
    if answer is None:
        return line
    before, now = _tell_change(line.metric, line.verdict), _tell_change(line.metric, answer)
    seen = change_of(line.verdict)
    verdict: Verdict
    match answer:
        case Slower(c, _, note) | Faster(c, _, note) if seen and (c.ratio > 1) == (seen.ratio > 1):
            verdict = replace(answer, suspect=False, note=f"confirmed interleaved: {note}")
            return replace(line, verdict=verdict, confirmed=f"confirmed: {now}")
        case Same(c, note):
            verdict = Same(c, f"a suspect ({before}), not confirmed")
            return replace(line, verdict=verdict, confirmed=f"not confirmed: {now} in {note}")
        case Unclear(why):
            return replace(line, confirmed=f"still open interleaved: {why}")
        case _:
            verdict = Unclear(f"a suspect ({before}), contradicted interleaved")
            return replace(line, verdict=verdict, confirmed=f"contradicted: {now}")


def _tell_change(metric: Metric, verdict: Verdict) -> str:
    change = change_of(verdict)
    return report.tell_ratio(metric, change.ratio) if change else "unknown"
