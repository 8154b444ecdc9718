"""Under what conditions figures are true: machine, environments, and footnotes on what to doubt."""

from collections import Counter
from collections.abc import Iterator, Sequence

from perf.machine.system import list_specs
from perf.page.markup import Html, Node, isolated, tag
from perf.page.matrix import scrolled
from perf.page.subject import Subject
from perf.page.wording import counted, listed, percent
from perf.report.finished_run import FinishedRun
from perf.results.host_records import host_name
from perf.results.latency import mark_kind

NAMED = 6  # cells named in a footnote
MEANINGS = {
    "unchecked": "outputs were not held against a reference",
    "overhead-bound": "below 0.1 ms, where the session call itself is a visible part of the time",
    "preempted": "others took the CPU from a launch while it was timed, by the kernel's account",
    "oversubscribed": "its own threads were more than the CPUs it may use, and waited for each other",
    "throttled": "the GPU lowered its clocks while it was timed",
    "gpu compute only": "transfers between host and device are not in the time",
    "not synchronised": "a sample may have ended before the device was idle",
    "failed in close": "it ended badly after its last word; the times are from before",
    "one of several input shapes": "test sets differ in shapes; the others have lines of their own",
    "instrumented": "it ran under another program, so it has no latency",
}


def conditions(runs: Sequence[FinishedRun], subjects: Sequence[Subject]) -> Html:
    """System, environments, and the footnotes."""
    return tag(
        "section",
        tag("h2", "System and environments", id="system"),
        *(_system(run, alone=len(runs) == 1) for run in runs),
        tag("h2", "Footnotes", id="footnotes"),
        tag("ul", *(tag("li", note) for note in footnotes(subjects))),
    )


def footnotes(subjects: Sequence[Subject]) -> Iterator[Node]:
    """What must be known before believing the figures."""
    timed = [s for s in subjects if s.latency]
    if timed:
        yield _io(timed)
        yield _noise(timed)
    marked: dict[str, list[Subject]] = {}
    for s in timed:
        for mark in s.row.marks:
            kind = mark_kind(mark)
            marked.setdefault(kind, []).append(s)
    for kind, mine in marked.items():
        yield f"{kind} ({MEANINGS.get(kind, 'a mark of the harness')}): {_named(mine)}."
    if "throttled" not in marked and any(s.row.throttled_share is not None for s in timed):
        yield "No GPU was throttled while a launch was timed."
    firsts = [s for s in subjects if s.is_first]
    yield _checked(firsts)
    yield from _hosts(firsts)
    unproven = [s for s in firsts if s.row.placement_source == "unproven"]
    if unproven:
        yield f"Where nodes ran is not proven for {_named(unproven)}."
    yield (
        "Runs in order are drawn as the band between the slowest and the fastest neighbours where "
        "they are "
        "more than the figure can hold: no extreme is left out. Every run is in the record.json of its cell."
    )
    yield "A figure that is not there is unknown, never zero."


def _io(timed: Sequence[Subject]) -> str:
    modes = Counter(s.row.io for s in timed)
    told = listed([f"{n:,} with io={mode}" for mode, n in modes.most_common()])
    return (
        f"Times: {told} (host: copies to and from a device are in the time; device: inputs and outputs are "
        "bound in its memory). Only like is set against like."
    )


def _noise(timed: Sequence[Subject]) -> str:
    shares = sorted(
        s.latency.spread.half_range / s.latency.summary.p50
        for s in timed
        if s.latency and s.latency.spread.half_range is not None and s.latency.summary.p50 > 0
    )
    if not shares:
        return "Noise: one launch a cell, so how launches differ is unknown."
    middle = shares[len(shares) // 2]
    return (
        f"Noise: launches of a cell differ by ± {percent(middle)} of its p50 in the middle of all cells, "
        f"and by ± {percent(shares[-1])} at most."
    )


def _checked(subjects: Sequence[Subject]) -> str:
    ran = [s for s in subjects if s.row.check]
    words = {
        "unchecked": "not checked (--no_check)",
        "unreferenced": "without a reference to hold them against",
    }
    left = [
        f"{sum(s.row.check == kind for s in ran):,} {text}"
        for kind, text in words.items()
        if any(s.row.check == kind for s in ran)
    ]
    checked = sum(s.row.check == "checked" for s in ran)
    told = f"Outputs of {counted(checked, 'cell')} were held against a reference"
    return told + (f"; {listed(left)}." if left else ".")


def _hosts(subjects: Sequence[Subject]) -> Iterator[str]:
    """Where the cells of a run of many hosts ran, and which of its hosts are not to be trusted."""
    cells = Counter(s.row.host for s in subjects if s.row.host)
    if len(cells) > 1:
        told = listed([f"{host} ({counted(n, 'cell')})" for host, n in sorted(cells.items())])
        yield f"Cells ran on {told}. A gain is over what the same host measured in the same round."
    for run in {s.run.run_id: s.run for s in subjects}.values():
        for key, text in run.flagged.items():
            yield f"Host {host_name(key)} is flagged: {text}."


def _named(mine: Sequence[Subject]) -> str:
    ids = list(dict.fromkeys(s.cell.id for s in mine))
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def _system(run: FinishedRun, *, alone: bool) -> Html:
    facts: list[tuple[str, str]] = []
    if run.label:
        facts.append(("label", run.label))
    if run.command:
        facts.append(("command", " ".join(run.command)))
    specs = list_specs(run.host) if run.host else ()
    rows = [
        tag("tr", tag("th", isolated(k), scope="row"), tag("td", isolated(v)))
        for k, v in (*facts, *specs)
    ]
    name = f"Run {run.run_id}"
    head = tag("tr", tag("th", "Spec", scope="col"), tag("th", "Value", scope="col"))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="plain")
    return tag(
        "div",
        None if alone else tag("h3", isolated(name)),
        scrolled(table, f"System of run {run.run_id}"),
    )
