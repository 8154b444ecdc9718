"""Throughput against the slow end where batches were swept, with the knee and where memory ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perf.page.markup import Html, Node, isolated, joined, tag
from perf.page.matrix import outcome, scrolled
from perf.page.plane import Plane, percent_of
from perf.page.scale import scale_of
from perf.page.subject import Subject
from perf.page.wording import short, trimmed
from perf.results.legacy_tables import find_batch
from perf.schema.record import OutOfMemory


@dataclass(frozen=True)
class Point:
    """One batch of a sweep."""

    batch: int
    subject: Subject
    items_per_s: float | None  # None: no latency is published
    slow_ms: float | None  # the highest percentile that every point of the sweep supports


@dataclass(frozen=True)
class Sweep:
    """One target over batches, ascending."""

    target: str
    percentile: str  # p99, p95, p90 or p50: what `slow_ms` is
    points: tuple[Point, ...]

    @property
    def measured(self) -> tuple[Point, ...]:
        """The batches that have a throughput."""
        return tuple(p for p in self.points if p.items_per_s and p.slow_ms)


def find_sweeps(subjects: Sequence[Subject]) -> tuple[Sweep, ...]:
    """Targets whose cells differ in nothing but the batch, from one model's cells."""
    groups: dict[tuple[object, ...], dict[int, Subject]] = {}
    for s in subjects:
        if (batch := find_batch(s.cell)) is not None:
            groups.setdefault(_question(s), {}).setdefault(batch, s)
    return tuple(_sweep(g) for g in groups.values() if len(g) > 1)


def knee(points: Sequence[Point]) -> Point | None:
    """The batch after which throughput costs more latency than it did before; None for fewer than three.

    The point farthest above the chord from the first to the last, both axes scaled to 0…1: Satopää et al.,
    "Finding a Kneedle in a Haystack", ICDCS Workshops (2011), without its smoothing.
    """
    if len(points) < 3:
        return None
    xs = [p.slow_ms or 0.0 for p in points]
    ys = [p.items_per_s or 0.0 for p in points]
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    if width <= 0 or height <= 0:
        return None
    above = [(y - min(ys)) / height - (x - min(xs)) / width for x, y in zip(xs, ys, strict=True)]
    best = max(range(len(points)), key=lambda i: above[i])
    return points[best] if above[best] > 0.05 else None


def sweeps(subjects: Sequence[Subject]) -> Html | None:
    """The figure and the table of a model's sweeps; None where no batch was swept."""
    found = find_sweeps(subjects)
    if not found:
        return None
    return joined(part for s in found for part in (_figure(s), _table(s)))


def _question(s: Subject) -> tuple[object, ...]:
    """All that must agree between the cells of a sweep; a shape is part of a variant, so that is left out."""
    c = s.cell
    return (
        s.run.run_id, c.target.label, c.io, c.protocol.isolation, c.graph_optimization,
        repr(sorted(c.options.items())), repr(sorted(c.session_config.items())),
    )  # fmt: skip


def _sweep(group: dict[int, Subject]) -> Sweep:
    ordered = sorted(group.items())
    summaries = [s.latency.summary for _, s in ordered if s.latency]
    kept = [
        name
        for name in ("p99", "p95", "p90", "p50")
        if all(getattr(each, name) is not None for each in summaries)
    ]
    name = kept[0] if kept else "p50"
    return Sweep(
        ordered[0][1].cell.target.label,
        name,
        tuple(
            Point(
                batch,
                s,
                batch * 1000 / s.latency.summary.mean if s.latency else None,
                getattr(s.latency.summary, name) if s.latency else None,
            )
            for batch, s in ordered
        ),
    )


def _figure(sweep: Sweep) -> Html | None:
    told = [(p, p.slow_ms, p.items_per_s) for p in sweep.points if p.slow_ms and p.items_per_s]
    across = scale_of((x for _, x, _ in told), margin=0.12)
    up = scale_of((y for _, _, y in told), margin=0.12)
    if len(told) < 2 or across is None or up is None:
        return None
    plane, best = Plane(across, up), knee(sweep.measured)
    places = [(p, *_spelled(plane.place(x, y))) for p, x, y in told]
    marks: list[Node] = [
        tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="way")
        for (_, x1, y1), (_, x2, y2) in pairwise(places)
    ]
    for p, x, y in places:
        name = f"batch {p.batch}" + (", the knee" if p is best else "")
        marks += [
            tag(
                "circle", cx=x, cy=y, r=7 if p is best else 4, class_="knee" if p is best else None
            ),
            tag("text", name, x=x, y=y, dy=-10, text_anchor="end" if p is places[-1][0] else None),
        ]
    title = f"Throughput against {sweep.percentile} over batch: {sweep.target}"
    words = _words(sweep, best)
    about = f"Items per second over {sweep.percentile} (ms). {words}"
    name_of = tag("b", "Throughput over batch, ", isolated(sweep.target))
    lines = [tag("g", *marks, class_=f"p{told[0][0].subject.colour}")]
    return tag(
        "figure",
        tag("figcaption", name_of, " ", tag("span", about, class_="mute")),
        plane.drawing(title, words, [*lines], trimmed),
    )


def _spelled(place: tuple[float, float]) -> tuple[str, str]:
    return percent_of(place[0]), percent_of(place[1])


def _words(sweep: Sweep, best: Point | None) -> str:
    parts = []
    if best:
        parts.append(f"The knee is at batch {best.batch}.")
    ended = [p.batch for p in sweep.points if isinstance(p.subject.record.outcome, OutOfMemory)]
    if ended:
        parts.append(f"Memory ended at batch {min(ended)}.")
    return " ".join(parts)


def _table(sweep: Sweep) -> Html:
    heads = ("outcome", "items/s", f"{sweep.percentile} (ms)", "memory (MiB)")
    rows = [
        tag(
            "tr",
            tag("th", tag("a", p.batch, href=f"#{p.subject.anchor}"), scope="row"),
            tag("td", outcome(p.subject), class_="s", data_t=heads[0]),
            tag("td", short(p.items_per_s), data_t=heads[1]),
            tag("td", short(p.slow_ms), data_t=heads[2]),
            tag("td", short(_memory(p.subject)), data_t=heads[3]),
        )
        for p in sweep.points
    ]
    head = tag("tr", tag("th", "Batch", scope="col"), *(tag("th", h, scope="col") for h in heads))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="cards num")
    return scrolled(table, f"Batches of {sweep.target}")


def _memory(s: Subject) -> float | None:
    return s.row.gpu_peak_mib if s.row.gpu_peak_mib is not None else s.row.host_peak_mib
