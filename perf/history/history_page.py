"""All cells over all runs as one HTML file: a line each with its steps, and releases against cells."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from perf.history.trend import Step, Trend, describe_step
from perf.page.document import document
from perf.page.figure import drawing, shape
from perf.page.markup import Html, breakable, isolated, joined, tag
from perf.page.matrix import scrolled
from perf.page.scale import Scale, scale_of
from perf.page.wording import counted, signed_percent
from perf.report.sections import format_ms
from perf.schema import atomic_file, outcomes

HEIGHT = 40
WIDTH = 1000  # units of perf.page.scale
WORDS = (("worse", "worse"), ("better", "better"), ("steady", "steady"))


def write_history(path: Path, trends: Sequence[Trend]) -> Path:
    """Write the page; raises OSError, with no half-written file left."""
    atomic_file.write_bytes(path, render_history(trends).encode("utf-8", "replace"))
    return path


def render_history(trends: Sequence[Trend]) -> str:
    """The page: for each machine its cells, and what releases made of them."""
    machines = dict.fromkeys(t.machine for t in trends)
    sections = [
        section
        for i, machine in enumerate(machines)
        for section in _machine(machine, [t for t in trends if t.machine == machine], i)
    ]
    runs = len({p.run.run_id for t in trends for p in t.points})
    return document(
        "ep-perf history", f"History of {counted(runs, 'run')}", sentence(trends),
        [*sections, _footnotes(len(machines))], choices=WORDS if trends else (),
    )  # fmt: skip


def sentence(trends: Sequence[Trend]) -> str:
    """What came of it, in one sentence."""
    if not trends:
        return "No run has told of a cell."
    states = [state_of(t) for t in trends]
    worse, better = states.count("worse"), states.count("better")
    cells = counted(len(trends), "cell")
    if not worse and not better:
        return f"{cells}, and no step in any of them."
    return f"{cells}: {worse or 'none'} worse since the last step, {better or 'none'} better."


def state_of(trend: Trend) -> str:
    """worse, better or steady, by the last step."""
    if not trend.steps:
        return "steady"
    return "worse" if trend.steps[-1].is_bad else "better"


def _machine(machine: str, trends: Sequence[Trend], number: int) -> tuple[Html, ...]:
    head = ("Cell", "p50 over the runs", "Last", "Runs", "Steps")
    name = machine or "A machine that is not known"
    table = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
        tag("tbody", *map(_row, trends)),
        class_="cards found sort trends",
    )
    cells = tag(
        "section", tag("h2", isolated(name), id=f"machine-{number}"), scrolled(table, name)
    )
    releases = list(dict.fromkeys(release_of(t, i) for t in trends for i in range(len(t.points))))
    if len(releases) < 2:
        return (cells,)
    return cells, _releases(releases, trends, name)


def _row(trend: Trend) -> Html:
    known = [v for v in trend.medians_ms if v is not None]
    last = known[-1] if known else None
    state = state_of(trend)
    steps = joined(tag("div", isolated(describe_step(s))) for s in trend.steps)
    return tag(
        "tr",
        tag("th", breakable(trend.cell), scope="row"),
        tag("td", _line(trend), data_t="p50 over the runs"),
        tag("td", f"{format_ms(last)} ms" if last else "never timed", data_t="last",
            data_v=f"{last:.6g}" if last else None),
        tag("td", tag("span", len(trend.points)), data_t="runs", data_v=len(trend.points)),
        tag("td", tag("span", state, class_=f"o {_manner(state)}"), steps, data_t="steps"),
        data_o=state,
    )  # fmt: skip


def _manner(state: str) -> str:
    return {"worse": "bad", "better": "ok"}.get(state, "no")


def _line(trend: Trend) -> Html | None:
    """p50 run by run; steps as upright lines, failures as crosses at the foot."""
    values = trend.medians_ms
    scale = scale_of(v for v in values if v is not None)
    if scale is None:
        return None
    n = max(len(values) - 1, 1)
    places = [round(i * WIDTH / n) for i in range(len(values))]
    known = [(x, v) for x, v in zip(places, values, strict=True) if v is not None]
    drawn = "".join(
        f"{'L' if i else 'M'}{x} {_height(v, scale)}" for i, (x, v) in enumerate(known)
    )
    at = {p.run.run_id: x for x, p in zip(places, trend.points, strict=True)}
    steps = "".join(f"M{at[s.after.run.run_id]} 0V{HEIGHT}" for s in trend.steps)
    failed = "".join(
        f"M{x} {HEIGHT - 6}V{HEIGHT}"
        for x, p in zip(places, trend.points, strict=True)
        if p.cell.status == outcomes.FAIL
    )
    told = f"{trend.cell}: {counted(len(known), 'run')}, {counted(len(trend.steps), 'step')}"
    return drawing(
        HEIGHT, shape(steps, "z"), shape(drawn, "l"), shape(failed, "x"), title=told, colour=1
    )


def _height(value: float, scale: Scale) -> int:
    return HEIGHT - 2 - scale.at(value, HEIGHT - 4)


def release_of(trend: Trend, at: int) -> str:
    """The release of ONNX Runtime that a cell ran on, else of its engine; "" where none is told."""
    versions = trend.points[at].cell.versions
    named = {k: v for k, v in versions.items() if k.startswith("onnxruntime")} or {
        k: v for k, v in versions.items() if k not in ("python", "numpy") and "sha256" not in k
    }
    return ", ".join(dict.fromkeys(named.values()))


def _releases(releases: Sequence[str], trends: Sequence[Trend], name: str) -> Html:
    """Cells against releases: the median p50; coloured where a decided step began with the release."""
    rows = []
    for trend in trends:
        cells: list[Html | None] = [_at_release(trend, release) for release in releases]
        rows.append(tag("tr", tag("th", breakable(trend.cell), scope="row"), *cells))
    heads = [tag("th", isolated(r or "not told"), scope="col") for r in releases]
    table = tag(
        "table",
        tag("thead", tag("tr", tag("th", "Cell", scope="col"), *heads)),
        tag("tbody", *rows),
        class_="num",
    )
    return tag("section", tag("h2", "Releases"), scrolled(table, f"Releases on {name}"))


def _at_release(trend: Trend, release: str) -> Html:
    found = [
        p.cell.p50_ms
        for i, p in enumerate(trend.points)
        if release_of(trend, i) == release and p.cell.p50_ms is not None
    ]
    if not found:
        return tag("td", "", class_="none")
    text = f"{format_ms(statistics.median(found))} ms"
    step = _step_into(trend, release)
    if step is None or step.change is None:
        return tag("td", text)
    manner = "bad" if step.is_bad else "ok"
    change = tag("span", signed_percent(100 * (step.change - 1)), class_=f"o {manner}")
    return tag("td", text, " ", change)


def _step_into(trend: Trend, release: str) -> Step | None:
    """The step with which a release began, where one was decided."""
    index = {p.run.run_id: i for i, p in enumerate(trend.points)}
    for step in trend.steps:
        before = release_of(trend, index[step.before.run.run_id])
        after = release_of(trend, index[step.after.run.run_id])
        if after == release != before and step.change is not None:
            return step
    return None


def _footnotes(machines: int) -> Html:
    notes = [
        "Steps are where E-divisive on ranks splits a history, believed where fewer than three in a hundred "
        "orders of the same values split as strongly; a change between passing and failing is a step too.",
        "Each line has a scale of its own, logarithmic; marks at its foot are runs in which the cell failed.",
    ]
    if machines > 1:
        notes.append("Figures of two machines are never put together.")
    return tag(
        "section",
        tag("h2", "Footnotes", id="footnotes"),
        tag("ul", *(tag("li", n) for n in notes)),
    )
