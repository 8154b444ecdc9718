"""The ratio of a measured number on two sides, weighed against the noise of how it was collected."""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from comparison.cell_summary import CellSummary, LaunchSummary, Metric
from comparison.noise import Noise, spread
from comparison.verdict import Change
from perf.stats.summary import mad, t_cdf, t_quantile

POWER_Z = 0.8416  # normal quantile of 80 % power
t_at = functools.cache(t_quantile)  # the same few quantiles, for thousands of cells


@dataclass(frozen=True)
class Stored:
    """One side's launches of a cell, as log statistics, with the centre that stands for them."""

    centre: float
    launches: tuple[float, ...]


def stored_change(
    a: CellSummary, b: CellSummary, metric: Metric, noise: Noise, level: float
) -> tuple[Change, Noise] | None:
    """Two runs apart in time; None where a side has no such number.

    The least of the launches' statistics stands for a run: what disturbs a launch makes it slower
    (measuring: 4-10 % false alarms against 17-30 % for means and medians, before any noise bound).
    Returns the noise used too: data noisier than the profile widens it.
    """
    before, after = _side(a, metric), _side(b, metric)
    if before is None or after is None:
        return None
    previous = math.exp(before.centre)
    return _weighed(before, after, _widened(noise, before, after), level, "stored", previous)


def canary_change(
    a: CellSummary,
    b: CellSummary,
    canary_a: Sequence[LaunchSummary],
    canary_b: Sequence[LaunchSummary],
    metric: Metric,
    noise: Noise,
    level: float,
) -> tuple[Change, Noise] | None:
    """Two runs apart in time, each launch divided by the canary's launch nearest to it."""
    before, after = _divided(a, canary_a, metric), _divided(b, canary_b, metric)
    if before is None or after is None:
        return None
    previous = statistics.median(x.values[metric] for x in a.launches if metric in x.values)
    return _weighed(before, after, _widened(noise, before, after), level, "canary", previous)


def paired(pairs: Sequence[tuple[float, float]]) -> Change:
    """Neighbouring launches: Student's t on the log ratios (Student, Biometrika 6 (1908) 1-25).

    Needs at least two pairs of positive numbers.
    """
    logs = [math.log(y / x) for x, y in pairs]
    previous = statistics.median(x for x, _ in pairs)
    k, centre = len(logs), statistics.fmean(logs)
    error = max(statistics.stdev(logs), 1e-4) / math.sqrt(k)
    reach = t_at(0.975, k - 1) * error
    return Change(
        ratio=math.exp(centre),
        low=math.exp(centre - reach),
        high=math.exp(centre + reach),
        detectable=math.expm1((t_at(0.99, k - 1) + POWER_Z) * error),
        p=1 - t_cdf(abs(centre) / error, k - 1),
        basis="paired",
        previous=previous,
        current=previous * math.exp(centre),
        launches=(k, k),
    )


def _side(cell: CellSummary, metric: Metric) -> Stored | None:
    logs = tuple(math.log(x.values[metric]) for x in cell.launches if metric in x.values)
    if logs:
        return Stored(min(logs), logs)
    if (value := cell.values.get(metric)) is not None:
        return Stored(math.log(value), (math.log(value),))
    return None


def divided(
    launches: Sequence[LaunchSummary], canary: Sequence[LaunchSummary], metric: Metric
) -> list[LaunchSummary]:
    """Each launch's number over that of the canary's launch nearest to it in the run's order."""
    beside = [x for x in canary if metric in x.values]
    if not beside:
        return []
    return [
        replace(x, values={metric: x.values[metric] / _nearest(x, beside).values[metric]})
        for x in launches
        if metric in x.values
    ]


def _divided(cell: CellSummary, canary: Sequence[LaunchSummary], metric: Metric) -> Stored | None:
    logs = tuple(math.log(x.values[metric]) for x in divided(cell.launches, canary, metric))
    return Stored(statistics.median(logs), logs) if logs else None


def _nearest(launch: LaunchSummary, others: Sequence[LaunchSummary]) -> LaunchSummary:
    return min(others, key=lambda x: (abs(x.order - launch.order), x.order))


def _widened(noise: Noise, a: Stored, b: Stored) -> Noise:
    """The larger of the launch spread expected and the one seen, where there are enough to see it."""
    seen = [mad(s.launches) for s in (a, b) if len(s.launches) >= 3]
    return Noise(max([noise.launch, *seen]), noise.drift, noise.df)


def _weighed(
    before: Stored, after: Stored, noise: Noise, level: float, basis: str, previous: float
) -> tuple[Change, Noise]:
    d = after.centre - before.centre
    counts = (len(before.launches), len(after.launches))
    error = spread(noise, counts)
    reach = t_at(0.975, noise.df) * error
    change = Change(
        ratio=math.exp(d),
        low=math.exp(d - reach),
        high=math.exp(d + reach),
        detectable=math.expm1((t_at(1 - level, noise.df) + POWER_Z) * error),
        p=1 - t_cdf(abs(d) / error, noise.df),
        basis=basis,
        previous=previous,
        current=previous * math.exp(d),
        launches=counts,
    )
    return change, noise
