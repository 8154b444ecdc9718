"""Rules over points, each a model on a backend at a batch: which cannot be, or mean something else."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeAlias

from perf.honesty import peaks

EQUAL_SLOPES = (
    0.15  # share by which two precisions' times per item may differ and still be one copy's
)
FIXED_SHARE = (
    1.5  # time of a small batch over what its items take: how much does not grow with the batch
)
ABOVE_REACHED = (
    1.1  # of what a large product reached: clocks vary, and some convolutions take fewer products
)
MANY_MORE, NO_LONGER = (
    4.0,
    1.1,
)  # items over those of the batch before, and a call's time over that one's


class Severity(StrEnum):
    """How bad a finding is."""

    IMPOSSIBLE = "impossible"
    DOUBTFUL = "doubtful"
    NOTE = "note"


@dataclass(frozen=True)
class Point:
    """One number: where it stands, what it is of, items/s and what else its table tells."""

    where: str
    device: str
    model: str
    backend: str
    precision: str
    batch: int | None = None
    rate: float | None = None  # items a second
    latency_ms: float | None = None  # of one call
    per_watt: float | None = None
    pixels: int = 0  # of an item that is an image; 0 where it is not told
    item_bytes: float = 0.0  # of what is fed of an item; 0 where it is not told

    @property
    def seconds(self) -> float | None:
        """Of one call."""
        if self.latency_ms is not None:
            return self.latency_ms / 1e3
        return self.batch / self.rate if self.batch and self.rate else None


@dataclass(frozen=True)
class Finding:
    """What is wrong with a point."""

    where: str
    severity: Severity
    text: str


Reached: TypeAlias = Mapping[tuple[str, str], float]  # TFLOP/s measured, by device and precision


def find_all(points: Sequence[Point], reached: Reached = {}) -> tuple[Finding, ...]:  # noqa: B006  # read only
    """Every rule's findings, the worst first; `reached` is what devices did in large products."""
    rules: tuple[Callable[[Sequence[Point]], Iterator[Finding]], ...] = (
        partial(above_peak, reached=reached), batch_not_fed, batch_for_nothing, rate_and_latency,
        nominal_watts, not_faster,
    )  # fmt: skip
    found = [f for rule in rules for f in rule(points)]
    return tuple(sorted(dict.fromkeys(found), key=lambda f: list(Severity).index(f.severity)))


def above_peak(points: Sequence[Point], reached: Reached = {}) -> Iterator[Finding]:  # noqa: B006  # read only
    """More arithmetic a second than the device has, or than it reached in a large product."""
    for p in points:
        gflop = peaks.find_gflop(p.model, p.pixels)
        if gflop is None or not p.rate:
            continue
        tflops, peak = p.rate * gflop / 1e3, peaks.find_peak(p.device)
        size = "" if p.pixels else " (the model's usual size)"
        are = f"{p.rate:g} items/s of {gflop:.3g} GFLOP{size} are {tflops:.3g} TFLOP/s"
        done = reached.get((p.device, p.precision))
        beside = f"; a large product reached {done:.3g}" if done else ""
        if peak and tflops > (most := peaks.peak_tflops(peak, p.precision)):
            text = f"{are}, and {p.device} has {most:g} in {p.precision}{beside}"
            yield Finding(p.where, Severity.IMPOSSIBLE, text)
        elif done and tflops > ABOVE_REACHED * done:
            text = f"{are}, and a large product in {p.precision} reached {done:.3g} there"
            yield Finding(p.where, Severity.DOUBTFUL, text)


def batch_not_fed(points: Sequence[Point]) -> Iterator[Finding]:
    """Time per item beyond the smallest batch that is one for all precisions: a copy's, not the model's.

    The engine then ran a smaller batch than was counted: most of a call's time does not grow with the batch,
    and what grows is what moving the items takes.
    """
    for group in _groups(points, lambda p: (p.device, p.model, p.backend)):
        curves = {}
        for precision in dict.fromkeys(p.precision for p in group):
            mine = [p for p in group if p.precision == precision and p.batch and p.seconds]
            mine.sort(key=lambda p: p.batch or 0)
            if len(mine) > 1 and (mine[0].batch or 0) < (mine[-1].batch or 0):
                curves[precision] = mine
        for (one, a), (two, b) in itertools.combinations(curves.items(), 2):
            slopes = [_slope(c) for c in (a, b)]
            fixed = [
                (c[0].seconds or 0) > FIXED_SHARE * s * (c[0].batch or 1)
                for c, s in zip((a, b), slopes, strict=True)
            ]
            starts = [(c[0].seconds or 0) for c in (a, b)]
            alike = min(slopes) > 0 and max(slopes) / min(slopes) - 1 <= EQUAL_SLOPES
            apart = (
                max(starts) / min(starts) > 1 + EQUAL_SLOPES
            )  # else the precision changes nothing at all
            if not (alike and apart and any(fixed)):
                continue
            more, least = ([f"{s * 1e3:.3g}" for s in pair] for pair in (slopes, starts))
            text = (
                f"an item more takes {more[0]} ms in {one} and {more[1]} ms in {two}, as much, "
                f"where the smallest batch takes {least[0]} and {least[1]} ms: the batch was copied "
                f"and not computed{_copy_rate(a[-1], slopes[0])}"
            )
            for p in (*a[1:], *b[1:]):
                yield Finding(p.where, Severity.IMPOSSIBLE, text)


def _copy_rate(point: Point, slope_s: float) -> str:
    """How fast its inputs would have been moved, where their size is told."""
    return f", at {point.item_bytes / slope_s / 1e9:.3g} GB/s" if point.item_bytes else ""


def batch_for_nothing(points: Sequence[Point]) -> Iterator[Finding]:
    """A call that takes no longer with many more items: little was computed, or not all of them."""
    for group in _groups(points, lambda p: (p.device, p.model, p.backend, p.precision)):
        curve = sorted((p for p in group if p.batch and p.seconds), key=lambda p: p.batch or 0)
        for few, many in itertools.pairwise(curve):
            items = (many.batch or 0) / (few.batch or 1)
            longer = (many.seconds or 0) / (few.seconds or 1)
            if items >= MANY_MORE and longer < NO_LONGER:
                text = (
                    f"{items:.3g} times the items take {longer:.2f} of the time of {few.batch}: a call's own "
                    "cost is nearly all of it, or the batch was not computed"
                )
                yield Finding(many.where, Severity.NOTE, text)


def rate_and_latency(points: Sequence[Point]) -> Iterator[Finding]:
    """Items/s and latency of one row that do not belong together, or do in seconds under a heading of ms."""
    for p in points:
        if not p.rate or not p.latency_ms:
            continue
        items = p.rate * p.latency_ms / 1e3
        batch = p.batch or 1
        if 0.8 < items * 1e3 / batch < 1.25:
            yield Finding(
                p.where,
                Severity.NOTE,
                "its latency is in seconds, under a heading of ms",
            )
        elif not 0.5 < items / batch < 2.0 and p.batch:
            text = f"{p.rate:g} items/s and {p.latency_ms:g} ms make a batch of {items:.3g}, not {batch}"
            yield Finding(p.where, Severity.DOUBTFUL, text)


def nominal_watts(points: Sequence[Point]) -> Iterator[Finding]:
    """Items/J that are items/s over one number for all rows: the board's nominal power, not measured."""
    for group in _groups(points, lambda p: (p.device,)):
        watts = {p: p.rate / p.per_watt for p in group if p.rate and p.per_watt}
        if len(watts) > 2 and max(watts.values()) / min(watts.values()) < 1.05:
            usual = sum(watts.values()) / len(watts)
            for p in watts:
                text = f"its energy is throughput over {usual:.0f} W in every row: nominal, not measured"
                yield Finding(p.where, Severity.NOTE, text)


def not_faster(points: Sequence[Point]) -> Iterator[Finding]:
    """A lower precision that takes as long as fp32: it may not have run in it."""
    for group in _groups(points, lambda p: (p.device, p.model, p.backend, p.batch)):
        full = next((p for p in group if p.precision == "fp32" and p.seconds), None)
        for p in group if full else ():
            if (
                p is full
                or p.precision == "fp32"
                or not p.seconds
                or full is None
                or not full.seconds
            ):
                continue
            if p.seconds > 0.98 * full.seconds:
                text = f"{p.precision} takes {p.seconds / full.seconds:.2f} of fp32's time"
                yield Finding(p.where, Severity.NOTE, text)


def _slope(curve: Sequence[Point]) -> float:
    """Seconds for an item more: least squares over the batches."""
    xs = [float(p.batch or 0) for p in curve]
    ys = [float(p.seconds or 0) for p in curve]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - mx) ** 2 for x in xs
    )


def _groups(
    points: Iterable[Point], key: Callable[[Point], tuple[object, ...]]
) -> list[list[Point]]:
    out: dict[tuple[object, ...], list[Point]] = {}
    for p in points:
        out.setdefault(key(p), []).append(p)
    return list(out.values())
