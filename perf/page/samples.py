"""How a model's times are distributed, and how they went on: launches apart, every extreme kept."""

import statistics
from collections.abc import Sequence
from itertools import pairwise

from perf.page.figure import (
    FigureRow,
    axis_labels,
    drawing,
    figure,
    gridlines,
    points,
    shape,
)
from perf.page.markup import Html, joined, tag
from perf.page.scale import WIDE, Scale, scale_of
from perf.page.subject import Subject
from perf.page.wording import counted, short, signed_percent, trimmed
from perf.report.sections import format_ms
from perf.results.latency import NS_PER_MS, published_launches
from perf.stats.summary import quantile

LANE = 9  # units of height of a launch
HILL = 26  # of the histogram above the lanes
BAND = 56  # of samples in order
GAP = 8  # units of width between launches
SEEN_LAUNCHES = 12  # lanes; the rest are in the histogram alone


def distributions(subjects: Sequence[Subject], bins: int) -> Html | None:
    """Every target's times on one axis: a histogram of all, and a lane for each launch."""
    told = [(s, _launches(s)) for s in subjects]
    told = [(s, each) for s, each in told if each]
    scale = scale_of(v for _, each in told for launch in each for v in (min(launch), max(launch)))
    if scale is None:
        return None
    rows = [FigureRow(s.column, _hill(s, each, scale, bins), _spread_note(s)) for s, each in told]
    return figure(
        "Distribution of times",
        rows,
        axis_labels(scale, trimmed, "ms"),
    )


def in_order(subjects: Sequence[Subject], columns: int) -> Html | None:
    """Every target's samples in the order they were taken: drift, modes and warm-up show here."""
    rows = []
    for s in subjects:
        each = _launches(s)
        scale = scale_of((v for launch in each for v in (min(launch), max(launch))), margin=0.04)
        if scale is None:
            continue
        rows.append(FigureRow(s.column, _band(s, each, scale, columns), _order_note(each)))
    return figure(
        "Runs in order",
        rows,
    )


def envelope(samples: Sequence[float], columns: int) -> list[tuple[float, float]]:
    """At most `columns` pairs (lowest, highest) of consecutive samples; every sample is in one."""
    n = len(samples)
    columns = max(1, min(columns, n))
    edges = [i * n // columns for i in range(columns + 1)]
    return [(min(samples[a:b]), max(samples[a:b])) for a, b in pairwise(edges)]


def _launches(s: Subject) -> list[Sequence[float]]:
    timed = [x.timed for x in published_launches(s.record) if x.timed]
    return [[ns / NS_PER_MS for ns in t.samples_ns] for t in timed]


def _hill(s: Subject, each: Sequence[Sequence[float]], scale: Scale, bins: int) -> Html:
    lanes = each[:SEEN_LAUNCHES]
    height = HILL + LANE * len(lanes) + 3
    ranges, boxes, medians = [], [], []
    for i, launch in enumerate(lanes):
        y, ordered = HILL + LANE * i + LANE // 2 + 2, sorted(launch)
        low, high = scale.at(ordered[0]), scale.at(ordered[-1])
        ranges.append(f"M{low} {y}H{max(high, low + 1)}")
        left, right = scale.at(quantile(ordered, 0.25)), scale.at(quantile(ordered, 0.75))
        boxes.append(f"M{left} {y}H{max(right, left + 2)}")
        medians.append(f"M{scale.at(quantile(ordered, 0.5))} {y - 4}v8")
    fastest, slowest = min(map(min, each)), max(map(max, each))
    return drawing(
        height,
        gridlines(scale, height),
        shape(_histogram([v for launch in each for v in launch], scale, bins), "h"),
        shape("".join(ranges), "w"),
        shape("".join(boxes), "b"),
        shape("".join(medians), "m"),
        title=f"{counted(sum(map(len, each)), 'run')} from {short(fastest)} to {short(slowest)} ms",
        colour=s.colour,
    )


def _histogram(samples: Sequence[float], scale: Scale, bins: int) -> str:
    counts = [0] * bins
    for v in samples:
        counts[min(bins - 1, int(scale.share(v) * bins))] += 1
    most = max(counts)
    first = next(i for i, c in enumerate(counts) if c)
    last = bins - next(i for i, c in enumerate(reversed(counts)) if c)
    steps, at, before = [f"M{first * WIDE // bins} {HILL}"], first * WIDE // bins, 0
    for i in range(first, last):
        tall = max(round(counts[i] / most * (HILL - 2)), 1 if counts[i] else 0)
        edge = (i + 1) * WIDE // bins
        steps.append((f"v{before - tall}" if tall != before else "") + f"h{edge - at}")
        at, before = edge, tall
    return "".join(steps) + f"V{HILL}Z"


def _band(s: Subject, each: Sequence[Sequence[float]], scale: Scale, columns: int) -> Html:
    def y(v: float) -> int:
        return BAND - scale.at(v, BAND)

    room = WIDE - GAP * (len(each) - 1)
    total = sum(map(len, each))
    areas, lines, medians = list[str](), list[str](), list[str]()
    x = 0.0
    for launch in each:
        width = room * len(launch) / total
        share = max(2, columns * len(launch) // total)
        if len(launch) <= share:
            step = width / max(1, len(launch) - 1)
            lines.append(points((round(x + i * step), y(v)) for i, v in enumerate(launch)))
        else:
            pairs = envelope(launch, share)
            step = width / max(1, len(pairs) - 1)
            upper = [(round(x + i * step), y(high)) for i, (_, high) in enumerate(pairs)]
            lower = [(round(x + i * step), y(low)) for i, (low, _) in enumerate(pairs)]
            areas.append(points([*upper, *reversed(lower)]) + "Z")
        medians.append(f"M{round(x)} {y(statistics.median(launch))}H{round(x + width)}")
        x += width + GAP
    low, high = min(map(min, each)), max(map(max, each))
    return drawing(
        BAND,
        shape("".join(areas), "e"),
        shape("".join(lines), "l"),
        shape("".join(medians), "m2"),
        title=f"Runs of {counted(len(each), 'launch', 'launches')} in order, "
        f"from {short(low)} to {short(high)} ms",
        colour=s.colour,
    )


def _spread_note(s: Subject) -> Html | None:
    if s.latency is None:
        return None
    spread = s.latency.spread
    apart = (
        ""
        if spread.half_range is None
        else f"medians ± {format_ms(spread.half_range, spread.median)} ms"
    )
    return joined(
        (f"p50 {format_ms(s.latency.summary.p50)} ms", tag("small", apart) if apart else None)
    )


def _order_note(each: Sequence[Sequence[float]]) -> Html:
    low, high = min(map(min, each)), max(map(max, each))
    words = [f"{short(low)} to {short(high)} ms"]
    if (drift := _drift(each)) is not None:
        words.append(f"drift {signed_percent(drift)}")
    return joined((words[0], *(tag("small", w) for w in words[1:])))


def _drift(each: Sequence[Sequence[float]]) -> float | None:
    """How much slower a launch's last quarter is than its first, in %: the median over launches."""
    ratios = []
    for launch in each:
        quarter = len(launch) // 4
        if quarter >= 3 and (first := statistics.median(launch[:quarter])) > 0:
            ratios.append(statistics.median(launch[-quarter:]) / first)
    return 100 * (statistics.median(ratios) - 1) if ratios else None
