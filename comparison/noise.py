"""How far apart two runs of the same thing come out: a machine's calibrated noise, or a built-in bound."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from comparison.cell_summary import Metric
from perf.request.locations import xdg_folder
from perf.request.programs import command_of
from perf.schema.codec import DecodeError, decode, encode
from perf.stats.sequential_test import StoppingRule


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a log statistic, and how heavy the tails around them are."""

    launch: float  # of one launch around its own run
    drift: float  # of one run around the machine's long average
    df: int = 5  # degrees of freedom of the t distribution that bounds the tails


@dataclass(frozen=True)
class Measured:
    """What an A/A calibration found for one cell and metric."""

    noise: Noise
    launches: int
    groups: int  # runs apart in time that the drift was estimated from
    false_alarms: float | None = None  # share of A/A comparisons flagged by the sequential rule
    comparisons: int = 0
    detectable: float | None = None  # smallest change an A/B would see, relative


@dataclass(frozen=True)
class Profile:
    """A machine's noise by `cell id / metric`; `*` stands for any cell."""

    machine: str
    calibrated: str = ""  # UTC date; "": never
    cells: Mapping[str, Measured] = field(default_factory=dict)
    canary: Mapping[str, Measured] = field(default_factory=dict)  # after dividing by the canary


# Two runs of five launches, seconds to minutes apart, on a shared machine with two virtual cores at work on
# other things, differed by at most 11 % (p50) and 21 % (mean) in 600 comparisons of two models:
# rounded up to what gives these as 1 in 1,000. Slow ends scatter without measure there. A calibrated
# machine shows smaller changes.
BUILT_IN: Mapping[Metric, Noise] = {
    Metric.P50: Noise(0.02, 0.025, 8),
    Metric.MEAN: Noise(0.03, 0.04, 6),
    Metric.SLOW_END: Noise(0.10, 0.15, 4),
    Metric.P99: Noise(0.15, 0.20, 4),
    Metric.SESSION: Noise(0.05, 0.06, 6),
    Metric.HOST_MEMORY: Noise(0.01, 0.01, 6),
    Metric.GPU_MEMORY: Noise(0.01, 0.01, 6),
}
BUILT_IN_CANARY: Mapping[Metric, Noise] = {
    Metric.P50: Noise(0.03, 0.015, 8),
    Metric.MEAN: Noise(0.05, 0.03, 6),
    Metric.SESSION: Noise(0.05, 0.05, 6),
}
# Of so many A/A comparisons by the sequential rule, so many were flagged: benchmarks/comparison/evaluate.py.
BENCHMARKED = (0, 300)
# Minutes of calibration do not see what months bring; no calibrated drift is believed below this.
LEAST_DRIFT = 0.005


def expected(
    profile: Profile | None, cell: str, metric: Metric, canary: bool
) -> tuple[Noise, str]:
    """The noise to judge a cell by, and where it comes from, in words."""
    built_in = BUILT_IN_CANARY if canary and metric in BUILT_IN_CANARY else BUILT_IN
    if profile is not None:
        table = profile.canary if canary else profile.cells
        for key, where in ((cell, "of this cell"), ("*", "of this machine's noisiest cell")):
            if found := table.get(f"{key}/{metric.value}"):
                noise = replace(found.noise, drift=max(found.noise.drift, LEAST_DRIFT))
                return noise, f"calibrated noise {where}"
    return built_in[metric], "built-in noise bound"


def spread(noise: Noise, launches: tuple[int, int]) -> float:
    """Standard deviation of the log ratio of two runs with so many launches."""
    a, b = launches
    return math.sqrt(2 * noise.drift**2 + noise.launch**2 * (1 / a + 1 / b))


def launches_needed(noise: Noise, log_ratio: float, z: float) -> int | None:
    """Launches a side that would tell such a ratio from noise; None: no number would, drift remains."""
    left = (log_ratio / z) ** 2 - 2 * noise.drift**2
    needed = math.ceil(2 * noise.launch**2 / left) if left > 0 else None
    return needed if needed is not None and needed <= 1000 else None


def path(machine: str) -> Path:
    """Where a machine's profile is stored: $XDG_STATE_HOME or ~/.local/state, then ep-perf/."""
    return xdg_folder("STATE", ".local/state") / f"{machine}.json"


def machine_id() -> str:
    """This machine's id: systemd's, or its host name where there is none."""
    for source in ("/etc/machine-id", "/proc/sys/kernel/hostname"):
        try:
            if text := Path(source).read_text(encoding="utf-8").strip():
                return text
        except OSError:
            continue
    return "unknown"


def load(machine: str) -> Profile | None:
    """A machine's profile; None where there is none. Raises ValueError for one that is unreadable."""
    where = path(machine)
    try:
        return decode(Profile, json.loads(where.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, json.JSONDecodeError, DecodeError) as e:
        raise ValueError(
            f"{where}: not a machine profile ({e}); delete it and run {command_of('comparison.calibrate')}"
        ) from e


def store(profile: Profile) -> Path:
    """Write a machine's profile, aside and then renamed into place; returns its path."""
    where = path(profile.machine)
    where.parent.mkdir(parents=True, exist_ok=True)
    aside = where.with_suffix(".tmp")
    aside.write_text(json.dumps(encode(profile), indent=1) + "\n", encoding="utf-8")
    aside.replace(where)
    return where


def sequential_error(profile: Profile | None, rule: StoppingRule) -> str:
    """The error that the sequential rule keeps per cell, in a sentence."""
    known = [m for m in (profile.cells if profile else {}).values() if m.comparisons]
    if profile and known:
        flagged = sum(round((m.false_alarms or 0) * m.comparisons) for m in known)
        total = sum(m.comparisons for m in known)
        whence = f"this machine's calibration of {profile.calibrated}"
    else:
        flagged, total, whence = (
            *BENCHMARKED,
            "docs/performance.md; calibrate to know it for this machine",
        )
    bound = 100 * (1 - 0.05 ** (1 / total)) if flagged == 0 else None
    most = f", so at most {bound:.2g} % with 95 % confidence" if bound else ""
    again = " and confirmed" if rule.confirm else ""
    told = f"of {total} cells compared with themselves, {flagged} were flagged{again}{most}"
    return f"Per cell: {told} ({whence})."


def stored_error(profile: Profile | None, rate: float) -> str:
    """The error that stored runs are judged at, in a sentence."""
    whence = (
        f"this machine's noise, calibrated {profile.calibrated}"
        if profile
        else "a built-in noise bound, as this machine is not calibrated "
        f"({command_of('comparison.calibrate')})"
    )
    return (
        f"Runs apart in time drift; they were judged by {whence}. Of the changes told, at most "
        f"{100 * rate:g} % are expected to be false; confirm suspects with --confirm or an --ab run."
    )
