"""What a target draws at random, held against many draws of the reference."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from perf.measure import tensor_io
from perf.schema.cell import TensorFile, TestSet
from perf.stats.summary import t_quantile

Draws: TypeAlias = Sequence[np.ndarray]
# The difference allowed of values that are floats, by the tolerances of a cell, an element each
Allowed: TypeAlias = Callable[[np.ndarray], "np.ndarray | float"]

RISK = 1e-9  # that one check calls a right draw wrong
LOG_RISK = math.log(1.0 / RISK)
MOST_KEPT = 1 << 16  # elements of a draw: of a larger one, as many at equal distances
LEAST_DRAWS = 8  # of the reference: fewer tell nothing of a spread
WANTED_DRAWS, WANTED_VALUES = 128, 4096  # of the reference
CHECKED_DRAWS, CHECKED_VALUES = 64, 1024  # of a target
MOST_DRAWS = 1024
FEW_VALUES = 20  # as often as this at least does a value come in the mean, where they are few
COMMON = 20  # draws that each of two values must be in before nothing else may come
STUCK = 0.05  # of elements, or one: as many may be the same in all draws of a process by chance
HEAVIEST = 30.0  # the range by the width of nine tenths, at most: heavier tails are taken for that


@dataclass(frozen=True)
class Fault:
    """Why an output is none of the draws that it might be, and how many of its elements say so."""

    problem: str
    elements: int


@dataclass(frozen=True)
class _Feature:
    """A number of each draw, which independent draws of one distribution have alike."""

    name: str
    drawn: np.ndarray
    got: np.ndarray
    step: float  # the most that one element moves it
    allowed: float  # what the tolerances of its elements come to
    apart: int  # the target's draws, as far as they are independent


def wanted_draws(size: int, least: int, values: int) -> int:
    """How often to draw an output of `size` elements, to have `values` of them in all, or so."""
    return min(MOST_DRAWS, max(least, -(-values // max(size, 1))))


def flatten(array: np.ndarray) -> np.ndarray:
    """A draw's values in a row, as numbers or strings; of many, as many as are kept."""
    values = tensor_io.decode(array).ravel()
    values = values[:: max(1, -(-values.size // MOST_KEPT))]
    if values.dtype.kind == "c":
        values = np.concatenate([values.real, values.imag])
    return values.astype(np.str_ if values.dtype.kind in "OUS" else np.float64)


def save_draws(drawn: Mapping[str, Draws], folder: Path) -> tuple[TensorFile, ...]:
    """Write flat draws, an output's one after another, and how many values each has."""
    flat = {n: np.concatenate(list(d)) for n, d in drawn.items() if d}
    counts = {f"{n}{{counts}}": np.array([x.size for x in drawn[n]], np.int64) for n in flat}
    return tensor_io.save_tensors(flat | counts, folder)


def load_draws(given: TestSet) -> dict[str, Draws]:
    """The reference's draws of a set's outputs, flat, by output."""
    flat = tensor_io.load_drawn(given)
    ends = {n: np.cumsum(flat[f"{n}{{counts}}"])[:-1] for n in flat if f"{n}{{counts}}" in flat}
    return {n: np.split(flat[n], at) for n, at in ends.items()}


def find_fault(drawn: Draws, got: Draws, allowed: Allowed) -> Fault | None:
    """Hold draws of a target against draws of the reference; both flat, of one type.

    Passes what is drawn from the reference's distribution but for a chance of RISK, roughly: it rests on
    tails that fall at least exponentially, and on draws that do not depend on one another.
    """
    drawn, got = [d for d in drawn if d.size], [g for g in got if g.size]
    if not drawn or not got:
        return None
    if drawn[0].dtype.kind == "U":
        return _find_new_values(drawn, got, lambda _: 0.0)
    if all(np.isfinite(d).all() for d in drawn):
        wrong = sum(int((~np.isfinite(g)).sum()) for g in got)
        if wrong:
            return _of_elements(wrong, got, "are not finite, as all of the reference's draws are")
    else:
        drawn = [np.where(np.isfinite(d), d, 0.0) for d in drawn]
        got = [np.where(np.isfinite(g), g, 0.0) for g in got]
    found = _find_new_values(drawn, got, allowed) or _find_outside(drawn, got)
    if found or len(drawn) < LEAST_DRAWS:
        return found
    return _find_stuck(drawn, got, allowed) or _find_unlike(drawn, got, allowed)


def _of_elements(wrong: int, got: Draws, what: str) -> Fault:
    return Fault(f"{wrong} of {sum(g.size for g in got)} elements {what}", wrong)


def _find_new_values(drawn: Draws, got: Draws, allowed: Allowed) -> Fault | None:
    """Where few values come again and again, others are wrong: all, or more than a rare value explains.

    Values that N draws never held are at most ln(1/RISK) / N of all, by (1 - q)^N >= RISK; the count of
    such among the target's is bounded by Bernstein's inequality.
    """
    count, given = sum(d.size for d in drawn), np.concatenate(list(got))
    if len(drawn) < LEAST_DRAWS or np.unique(drawn[0]).size * FEW_VALUES > count:
        return None
    values, seen = np.unique(
        np.concatenate([np.unique(d) for d in drawn]), return_counts=True
    )  # in how many draws each is
    if seen.min() < 2 or values.size * FEW_VALUES > count:
        return None
    wrong = int((~_is_among(given, values, allowed)).sum())
    expected = LOG_RISK / count * given.size
    most = expected + math.sqrt(2 * expected * LOG_RISK) + LOG_RISK / 3
    most += sum(max(1.0, STUCK * g.size) for g in got)
    if wrong <= (0 if values.size <= 2 and seen.min() >= COMMON else most):
        return None
    few = ", ".join(f"{v:.3g}" if v.dtype.kind == "f" else str(v) for v in values[:4])
    more = f" … ({values.size} values)" if values.size > 4 else ""
    return _of_elements(wrong, got, f"are none of {few}{more}, the values that it takes")


def _is_among(given: np.ndarray, values: np.ndarray, allowed: Allowed) -> np.ndarray:
    if given.dtype.kind == "U":
        return np.isin(given, values)
    at = np.searchsorted(values, given)
    room = np.broadcast_to(allowed(values), values.shape)
    near = [np.clip(at - 1, 0, values.size - 1), np.clip(at, 0, values.size - 1)]
    inside: np.ndarray = np.any([np.abs(given - values[i]) <= room[i] for i in near], axis=0)
    return inside


def _find_outside(drawn: Draws, got: Draws) -> Fault | None:
    """Elements far outside the range of the reference's, or draws that leave it too often.

    Of n + m draws of one distribution the k largest are all among the m by a chance of (m / (n + m))^k at
    most, whatever the distribution. A single element may lie outside by the range times ln(1/RISK) / ln N,
    as the extreme of N values of an exponential tail is ln N of its scales from the centre (Gumbel,
    Statistics of Extremes, 1958); where the range is wide beside nine tenths of the values, by as many
    times as it is wider.
    """
    of_all = np.concatenate(list(drawn))
    low, high, width = float(of_all.min()), float(of_all.max()), _width(of_all)
    span = high - low
    heavy = min(span / width, HEAVIEST) if width else HEAVIEST
    room = span * max(1.0, LOG_RISK / math.log(max(of_all.size, 3)), heavy)
    if (
        of_all.size > 1
    ):  # of very few values the range says little: Student's interval for the next
        reach = _t_quantile(RISK, of_all.size - 1) * float(of_all.std(ddof=1))
        room = max(room, reach * math.sqrt(1 + 1 / of_all.size))
    outside = [int(((g < low - room) | (g > high + room)).sum()) for g in got]
    what = f"outside {low:.3g} … {high:.3g}, the range of its values"
    if wrong := sum(outside):
        return _of_elements(wrong, got, f"are far {what}")
    most = LOG_RISK / math.log1p(len(drawn) / len(got))
    for beyond in ([int((g < low).sum()) for g in got], [int((g > high).sum()) for g in got]):
        if sum(count > 0 for count in beyond) > most:
            return _of_elements(sum(beyond), got, f"are {what}")
    return None


def _width(values: np.ndarray) -> float:
    """What the middle nine tenths span."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)


def _count_apart(got: Draws) -> int:
    """How many of a process's draws count: of few elements one may be the same in all of them.

    An engine that seeds a generator in each run by the next number gives nearly the same first value each
    time, as the CPU EP's Dropout does. One of E elements moves a mean of E by the spread / E; so many draws
    as E bound it to that.
    """
    return max(1, min(len(got), min(g.size for g in got)))


def _find_stuck(drawn: Draws, got: Draws, allowed: Allowed) -> Fault | None:
    """One of the reference's draws in each of the target's, where the reference gives others as well.

    By Fisher's exact test: of the n + m draws k + m are that one, and all m of the target's are among them
    by a chance of C(k + m, m) / C(n + m, m). What no draw of the reference is like is left to the other
    checks: some engines draw once, when they build.
    """
    first, n, m = got[0], len(drawn), len(got)
    room = allowed(first)

    def is_first(draw: np.ndarray) -> bool:
        return draw.size == first.size and bool((np.abs(draw - first) <= room).all())

    if m < 2 or not all(map(is_first, got)):
        return None
    m = _count_apart(got)
    k = sum(map(is_first, drawn))
    if not k or math.comb(k + m, m) >= RISK * math.comb(n + m, m):
        return None
    return Fault(
        f"the same in each of {len(got)} draws, as {k} of the reference's {n} are",
        sum(g.size for g in got),
    )


def _find_unlike(drawn: Draws, got: Draws, allowed: Allowed) -> Fault | None:
    """A number of the target's draws that differs from that of the reference's by more than chance.

    Values are first clipped to what the middle nine tenths of the reference's span, once more on either
    side, so that means of few draws are near to normal whatever the tails.
    """
    of_all = np.concatenate(list(drawn))
    low, high = np.quantile(of_all, (0.05, 0.95))
    reach = _width(of_all) or float(np.ptp(of_all))
    drawn, got = ([np.clip(d, low - reach, high + reach) for d in x] for x in (drawn, got))
    span = float(np.ptp(np.concatenate([*drawn, *got])))
    features = [_simple(drawn, got, span, allowed)]
    if len({d.size for d in (*drawn, *got)}) == 1:
        features.append(_patterned(np.stack(drawn), np.stack(got), span, allowed))
    for feature in (f for found in features for f in found):
        if problem := _unlike(feature):
            return Fault(problem, sum(g.size for g in got))
    if len({d.size for d in (*drawn, *got)}) == 1 and len(got) >= LEAST_DRAWS:
        return _find_shifted_element(np.stack(drawn), np.stack(got), allowed)
    return None


def _simple(drawn: Draws, got: Draws, span: float, allowed: Allowed) -> Iterator[_Feature]:
    """What needs no equal shapes."""
    room = max(float(np.mean(allowed(d))) for d in drawn)
    step = span / min(d.size for d in drawn)
    yield _feature("the number of elements", lambda d: float(d.size), drawn, got, 1.0, 0.0)
    yield _feature("the mean", lambda d: float(d.mean()), drawn, got, step, room)
    yield _feature(
        "the spread", lambda d: float(d.std()), drawn, got, math.sqrt(step * span), room
    )


def _feature(
    name: str,
    of: Callable[[np.ndarray], float],
    drawn: Draws,
    got: Draws,
    step: float,
    room: float,
) -> _Feature:
    mine, others = (np.array([of(d) for d in x]) for x in (got, drawn))
    return _Feature(name, others, mine, step, room, _count_apart(got))


def _patterned(
    drawn: np.ndarray, got: np.ndarray, span: float, allowed: Allowed
) -> Iterator[_Feature]:
    """What is told against each element's own mean.

    It is the mean of one half of the reference's draws, which are then not compared: the others are as far
    from it as a right target's.
    """
    half = len(drawn) // 2
    known, fresh = drawn[:half], drawn[half:]
    mean, size = known.mean(axis=0), drawn.shape[1]
    room = np.broadcast_to(allowed(mean), mean.shape)
    average, apart = float(room.mean()), max(1, min(len(got), size))
    yield _Feature(
        "the distance from the mean of each element",
        np.sqrt(((fresh - mean) ** 2).mean(axis=1)), np.sqrt(((got - mean) ** 2).mean(axis=1)),
        span / math.sqrt(size), average, apart,
    )  # fmt: skip
    pattern = mean - mean.mean()
    if strength := float((pattern**2).mean()):
        yield _Feature(
            "the likeness to the pattern of the means",
            (fresh * pattern).mean(axis=1) / strength, (got * pattern).mean(axis=1) / strength,
            span * float(np.abs(pattern).max()) / strength / size,
            average * float(np.abs(pattern).mean()) / strength, apart,
        )  # fmt: skip
    constant = (np.abs(known - mean) <= room).all(axis=0)
    if constant.any():
        kept, others = ((np.abs(x - mean) > room)[:, constant] for x in (fresh, got))
        share = 1.0 / float(constant.sum())
        yield _Feature(
            "the share of elements that stay as they are",
            kept.mean(axis=1),
            others.mean(axis=1),
            share,
            max(share, STUCK),
            apart,
        )


def _find_shifted_element(drawn: np.ndarray, got: np.ndarray, allowed: Allowed) -> Fault | None:
    """Elements whose own mean differs, where there are draws enough to tell."""
    share = 1 / len(drawn) + 1  # the target's draws are of one process
    span = np.maximum(drawn.max(0), got.max(0)) - np.minimum(drawn.min(0), got.min(0))
    noise = drawn.std(axis=0, ddof=1) * math.sqrt(share)
    risk = RISK / drawn.shape[1]
    mine, others = got.mean(axis=0), drawn.mean(axis=0)
    room = _t_quantile(risk, len(drawn) - 1) * noise - math.log(risk) * span * share / 3
    wrong = int((np.abs(mine - others) > room + allowed(others)).sum())
    if not wrong:
        return None
    i = int(np.argmax(np.abs(mine - others) - room))
    drawn_as = f"{others[i]:.3g} ± {drawn[:, i].std():.3g} in {len(drawn)} of the reference"
    given = f"{mine[i]:.3g} in {len(got)} draws"
    return Fault(f"{wrong} of {mine.size} elements have another mean: {given}, {drawn_as}", wrong)


@functools.cache
def _t_quantile(risk: float, df: int) -> float:
    return t_quantile(1 - risk / 2, df)


def _unlike(feature: _Feature) -> str:
    """How a feature differs; "" where the target's mean is inside Student's interval for draws to come.

    It is as wide as RISK asks. Where draws have few different values, Bernstein's inequality adds what rare
    ones may come to.
    """
    n, m = len(feature.drawn), len(feature.got)
    share = 1 / n + 1 / min(m, feature.apart)
    spread = float(feature.drawn.std(ddof=1))
    room = _t_quantile(RISK, n - 1) * spread * math.sqrt(share) + feature.allowed
    if np.unique(feature.drawn).size < n / 2:
        room += LOG_RISK * feature.step * share / 3
    mine, others = float(feature.got.mean()), float(feature.drawn.mean())
    if abs(mine - others) <= room:
        return ""
    reference = f"{others:.3g} ± {spread:.3g} in {n} of the reference"
    return f"{feature.name} is {mine:.3g} in {m} draws, {reference}"
