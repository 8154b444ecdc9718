"""Which hosts of a merged run were not what they should be: adrift, unlike their peers, of another build."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from comparison import noise
from comparison.cell_summary import Metric
from comparison.change import t_at
from comparison.noise import Noise, Profile
from perf.execution.host_canary import LAUNCHES
from perf.machine.system import SystemInfo
from perf.planning.plan import NO_ENGINE
from perf.results.latency import published_launches
from perf.schema.record import Launch, Record
from perf.stats.summary import quantile

FALSE_ALARM = 0.005  # most that an honest host may risk, over all that is asked of it


Finding: TypeAlias = tuple[float, str]  # how far it moved, as a log, and in words


@dataclass(frozen=True)
class Moment:
    """What a host's canary told at one time: the least disturbed of a few launches, as a log."""

    began_s: float
    log: float
    launches: int


@dataclass(frozen=True)
class Series:
    """The moments of one host, of one target and metric, in the order of time."""

    host: str  # key
    cell: str
    metric: Metric
    moments: tuple[Moment, ...]


def find_flagged(
    canaries: Sequence[Record], hosts: Mapping[str, SystemInfo], profile: Profile | None
) -> Mapping[str, str]:
    """Keys of hosts that are not to be trusted, each with what is wrong with it."""
    series = list(_series(canaries))
    questions = Counter(s.host for s in series for _ in s.moments)  # asked of each host
    found: dict[str, list[Finding]] = defaultdict(list)
    for s in series:
        expected, _ = noise.expected_noise(profile, s.cell, s.metric, canary=False)
        level = FALSE_ALARM / 2 / questions[s.host]
        peers = [p for p in series if _are_peers(s, p, hosts)]
        found[s.host] += _drift(s, expected, level)
        found[s.host] += _off_peers(s, peers, expected, level)
    told = {key: [text for _, text in _worst_of_a_kind(f)] for key, f in found.items() if f}
    for key, text in _other_builds(hosts):
        told.setdefault(key, []).append(text)
    return {key: "; ".join(texts) for key, texts in sorted(told.items())}


def _worst_of_a_kind(found: Sequence[Finding]) -> Iterator[Finding]:
    """Of findings that begin alike, the one that moved furthest."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        kinds[finding[1].partition(" ")[0]].append(finding)
    return (max(same) for same in kinds.values())


def _series(canaries: Sequence[Record]) -> Iterator[Series]:
    launches: dict[tuple[str, str], list[Launch]] = defaultdict(list)
    for record in canaries:
        for launch in published_launches(record):
            launches[launch.host, record.cell.id].append(launch)
    for (host, cell), found in sorted(launches.items()):
        ordered = sorted(found, key=lambda x: x.began_s)
        for metric, value in VALUES.items():
            yield Series(host, cell, metric, tuple(_moments(ordered, value)))


def _moments(launches: Sequence[Launch], value: Callable[[Launch], float]) -> Iterator[Moment]:
    """Launches a few at a time, as they were made."""
    for i in range(0, len(launches), LAUNCHES):
        part = launches[i : i + LAUNCHES]
        yield Moment(part[0].began_s, math.log(min(map(value, part))), len(part))


def _quarter(launch: Launch) -> float:
    """The 25th percentile: it moves as the median does, and is less noisy."""
    return quantile(sorted(_samples_ns(launch)), 0.25)


def _mean(launch: Launch) -> float:
    return statistics.fmean(_samples_ns(launch))


def _samples_ns(launch: Launch) -> Sequence[int]:
    return launch.timed.samples_ns if launch.timed else ()


def _are_peers(a: Series, b: Series, hosts: Mapping[str, SystemInfo]) -> bool:
    """Whether two hosts should show the same: other machines of the same kind, asked the same."""
    if (a.cell, a.metric) != (b.cell, b.metric) or a.host not in hosts or b.host not in hosts:
        return False
    here, there = hosts[a.host], hosts[b.host]
    return here.hostname != there.hostname and kind_of(here) == kind_of(there)


def kind_of(host: SystemInfo) -> tuple[object, ...]:
    """What hosts have in common whose times may be held against each other."""
    boards = tuple(sorted((g.name, g.driver) for g in host.gpus))
    return (
        host.architecture, host.cpu, host.usable_cores, host.cpu_quota_cores, boards,
    )  # fmt: skip


def _drift(s: Series, expected: Noise, level: float) -> Iterator[Finding]:
    """How far the host's times went from its first, where that is beyond the noise."""
    first, *later = s.moments
    for m in later:
        moved = m.log - first.log
        if abs(moved) > _bound(expected, (first.launches, m.launches), level):
            told = f"drifted: {s.metric.value} of {s.cell} went {_percent(moved)}"
            yield abs(moved), told


def _off_peers(
    s: Series, peers: Sequence[Series], expected: Noise, level: float
) -> Iterator[Finding]:
    """How far the host is from the middle of its peers; of two hosts, the slower is the one that is off."""
    if not peers:
        return
    here = statistics.median(m.log for m in s.moments)
    there = statistics.median(statistics.median(m.log for m in p.moments) for p in peers)
    apart = here - there
    counts = (
        sum(m.launches for m in s.moments),
        sum(m.launches for p in peers for m in p.moments),
    )
    if abs(apart) > _bound(expected, counts, level) and (len(peers) > 1 or apart > 0):
        among = "its peer" if len(peers) == 1 else f"its {len(peers)} peers"
        told = f"off {among}: {s.metric.value} of {s.cell} is {_percent(apart)} beside theirs"
        yield abs(apart), told


def _bound(expected: Noise, launches: tuple[int, int], level: float) -> float:
    return t_at(1 - level, expected.df) * noise.ratio_deviation(expected, launches)


def _other_builds(hosts: Mapping[str, SystemInfo]) -> Iterator[tuple[str, str]]:
    """Hosts whose environments hold other versions than most hosts' of the same name do."""
    by_name: dict[str, Counter[tuple[tuple[str, str], ...]]] = defaultdict(Counter)
    for host in hosts.values():
        for name, versions in host.environments.items():
            by_name[name][_identity(versions)] += 1
    usual = {n: min(c, key=lambda v: (-c[v], v)) for n, c in by_name.items()}
    for key, host in hosts.items():
        for name, versions in host.environments.items():
            mine = _identity(versions)
            if mine != usual[name]:
                more = sorted(set(mine) - set(usual[name])) or sorted(set(usual[name]) - set(mine))
                what, version = more[0]
                others = dict(usual[name]).get(what, "none")
                yield key, f"other build: environment {name} has {what} {version}, others {others}"


def _identity(versions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in versions.items() if k.lower() not in NO_ENGINE))


def _percent(log_ratio: float) -> str:
    return f"{100 * math.expm1(log_ratio):+.0f} %"


# A host that is stopped now and then shows in its means alone.
VALUES: Mapping[Metric, Callable[[Launch], float]] = {Metric.P50: _quarter, Metric.MEAN: _mean}
