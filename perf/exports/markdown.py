"""A run as GitHub-flavoured Markdown: the count, the matrix of models and targets, failures, gains."""

from collections import Counter
from collections.abc import Sequence

from perf.exports.case import Case, Result, cases_of, suites_of
from perf.report.finished_run import FinishedRun
from perf.report.sections import format_gain, format_ms

SIGNS = {Result.PASSED: "✅", Result.FAILED: "❌", Result.ERROR: "⚠️", Result.SKIPPED: "➖"}
SPECIAL = "\\`*_{}[]<>#|~&"  # what Markdown would read as its own


def to_markdown(run: FinishedRun) -> str:
    """The run as one document."""
    cases = cases_of(run)
    parts = [
        f"### ep-perf {escaped(run.run_id)}",
        _counted(cases),
        *_matrix(cases),
        *_wrong(cases),
    ]
    better = [
        f"- {escaped(c.id)}: {escaped(c.unexpected_pass)}" for c in cases if c.unexpected_pass
    ]
    if better:
        parts.append("**Passed, and were expected to fail**\n\n" + "\n".join(better))
    if run.host:
        parts.append(f"{escaped(run.host.hostname)}: {escaped(_machine(run))}")
    return "\n\n".join(p for p in parts if p) + "\n"


def escaped(text: str) -> str:
    """Text of which Markdown makes nothing else."""
    return "".join(f"\\{c}" if c in SPECIAL else c for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(r)} |" for r in lines)


def _counted(cases: Sequence[Case]) -> str:
    found = Counter(c.result for c in cases)
    told = ", ".join(f"{SIGNS[r]} {found[r]} {r.value}" for r in Result if found[r])
    return f"{len(cases)} cell{'' if len(cases) == 1 else 's'}: {told or 'nothing was planned'}."


def _matrix(cases: Sequence[Case]) -> list[str]:
    columns = tuple(dict.fromkeys(c.name for c in cases))
    if not cases:
        return []
    rows = []
    for model, mine in suites_of(cases).items():
        at = {c.name: c for c in mine}
        rows.append([escaped(model), *(_entry(at[n]) if n in at else "" for n in columns)])
    remark = "p50 ± half the range of the launches' medians, in ms; then how that compares with the CPU EP."
    return [table(["model", *map(escaped, columns)], rows), remark]


def _entry(case: Case) -> str:
    row = case.row
    if row.p50_ms is None:
        return f"{SIGNS[case.result]} {escaped(case.outcome)}"
    spread = row.launch_half_range_ms
    half = "" if spread is None else f" ± {format_ms(spread, row.p50_ms)}"
    gain = f", {format_gain(case.gain)}" if case.gain and case.gain.claimed else ""
    return f"{SIGNS[case.result]} {format_ms(row.p50_ms)}{half}{gain}"


def _wrong(cases: Sequence[Case]) -> list[str]:
    rows = [
        [SIGNS[c.result], escaped(c.id), escaped(c.outcome), escaped(c.message)]
        for c in cases
        if c.result in (Result.FAILED, Result.ERROR) or c.expected
    ]
    return [table(["", "cell", "outcome", "why"], rows)] if rows else []


def _machine(run: FinishedRun) -> str:
    host = run.host
    if host is None:
        return ""
    gpus = ", ".join(dict.fromkeys(g.name for g in host.gpus))
    return ", ".join(p for p in (host.os, host.cpu, gpus) if p)
