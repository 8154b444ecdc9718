"""How far apart two runs of the same thing come out: a machine's calibrated noise, or a built-in bound."""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from comparison.cell_summary import Metric, UnreadableError
from perf.request.locations import xdg_folder
from perf.request.programs import command_of
from perf.schema import atomic_file
from perf.schema.codec import DecodeError, decode, encode
from perf.schema.untrusted_file import read_text


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a log statistic, and how heavy the tails around them are."""

    launch: float  # of one launch around its own run
    drift: float  # of one run around the machine's long average
    df: int = 5  # degrees of freedom of the t distribution that bounds the tails


@dataclass(frozen=True)
class CalibratedNoise:
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
    cells: Mapping[str, CalibratedNoise] = field(default_factory=dict)
    canary: Mapping[str, CalibratedNoise] = field(
        default_factory=dict
    )  # after dividing by the canary


@dataclass(frozen=True)
class Measurement:
    """How a metric's numbers are judged on any machine."""

    unit: str
    least: float  # relative change below which nobody is told; `--threshold` sets that of p50 and mean
    noise: Noise
    beside_canary: Noise | None = None  # of launches divided by the canary's


# Two runs of five launches, seconds to minutes apart, on a shared machine with two virtual cores at work on
# other things, differed by at most 11 % (p50) and 21 % (mean) in 600 comparisons of two models:
# rounded up to what gives these as 1 in 1,000. Tail ratios scatter without measure there. A calibrated
# machine shows smaller changes.
MEASURED: Mapping[Metric, Measurement] = {
    Metric.P50: Measurement("ms", 0.025, Noise(0.02, 0.025, 8), Noise(0.03, 0.015, 8)),
    Metric.MEAN: Measurement("ms", 0.025, Noise(0.03, 0.04, 6), Noise(0.05, 0.03, 6)),
    Metric.TAIL_RATIO: Measurement("x", 0.05, Noise(0.10, 0.15, 4)),
    Metric.P99: Measurement("ms", 0.10, Noise(0.15, 0.20, 4)),
    # an H200's launches differ by 0.2 % at most (docs/performance.md); two runs were not compared there
    Metric.DEVICE: Measurement("ms", 0.025, Noise(0.015, 0.015, 6)),
    Metric.SESSION: Measurement("s", 0.10, Noise(0.05, 0.06, 6), Noise(0.05, 0.05, 6)),
    Metric.HOST_MEMORY: Measurement("MiB", 0.05, Noise(0.01, 0.01, 6)),
    Metric.GPU_MEMORY: Measurement("MiB", 0.05, Noise(0.01, 0.01, 6)),
}
# Of so many A/A comparisons by the sequential rule, so many were flagged: benchmarks/comparison/evaluate.py.
BENCHMARKED = (0, 300)
# Minutes of calibration do not see what months bring; no calibrated drift is believed below this.
LEAST_DRIFT = 0.005


def expected_noise(
    profile: Profile | None, cell: str, metric: Metric, *, canary: bool
) -> tuple[Noise, str]:
    """The noise to judge a cell by, and where it comes from, in words."""
    calibrated = (profile.canary if canary else profile.cells) if profile else {}
    for key, where in ((cell, "of this cell"), ("*", "of this machine's noisiest cell")):
        if found := calibrated.get(f"{key}/{metric.value}"):
            noise = replace(found.noise, drift=max(found.noise.drift, LEAST_DRIFT))
            return noise, f"calibrated noise {where}"
    built_in = MEASURED[metric]
    noise = (built_in.beside_canary if canary else None) or built_in.noise
    return noise, "built-in noise bound"


def ratio_deviation(noise: Noise, launches: tuple[int, int]) -> float:
    """Standard deviation of the log ratio of two runs with so many launches."""
    a, b = launches
    return math.sqrt(2 * noise.drift**2 + noise.launch**2 * (1 / a + 1 / b))


def count_needed_launches(noise: Noise, log_ratio: float, z: float) -> int | None:
    """Launches a run that would tell such a ratio from noise; None: no number would, drift remains."""
    left = (log_ratio / z) ** 2 - 2 * noise.drift**2
    needed = math.ceil(2 * noise.launch**2 / left) if left > 0 else None
    return needed if needed is not None and needed <= 1000 else None


def find_profile(machine: str) -> Path:
    """Where a machine's profile is stored: $XDG_STATE_HOME or ~/.local/state, then ep-perf/."""
    return xdg_folder("STATE", ".local/state") / f"{machine}.json"


def find_machine_id() -> str:
    """This machine's id: systemd's, or its host name where there is none."""
    for source in ("/etc/machine-id", "/proc/sys/kernel/hostname"):
        with contextlib.suppress(OSError):
            if text := Path(source).read_text(encoding="utf-8").strip():
                return text
    return "unknown"


def read_profile() -> Profile | None:
    """This machine's profile; None where there is none. Raises UnreadableError."""
    path = find_profile(find_machine_id())
    try:
        return decode(Profile, json.loads(read_text(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DecodeError) as e:
        told = e.strerror if isinstance(e, OSError) else e
        raise UnreadableError(
            f"{path}: not a machine profile ({told}); delete it and run {command_of('comparison.calibrate')}"
        ) from e


def write_profile(profile: Profile) -> Path:
    """Store a machine's profile; returns its path."""
    path = find_profile(profile.machine)
    atomic_file.write_json(path, encode(profile))
    return path


def describe_sequential_error(profile: Profile | None) -> str:
    """The error that the sequential rule keeps per cell, in a sentence."""
    flagged, total = BENCHMARKED
    source = "docs/performance.md; calibrate to know it for this machine"
    known = [m for m in (profile.cells if profile else {}).values() if m.comparisons]
    if profile and known:
        flagged = sum(round((m.false_alarms or 0) * m.comparisons) for m in known)
        total = sum(m.comparisons for m in known)
        source = f"this machine's calibration of {profile.calibrated}"
    most = f", so at most {100 * (1 - 0.05 ** (1 / total)):.2g} % with 95 % confidence"
    return (
        f"Per cell: of {total} cells compared with themselves, {flagged} were flagged and confirmed"
        f"{'' if flagged else most} ({source})."
    )


def describe_stored_error(profile: Profile | None, rate: float) -> str:
    """The error that stored runs are judged at, in a sentence."""
    uncalibrated = f"as this machine is not calibrated ({command_of('comparison.calibrate')})"
    source = f"a built-in noise bound, {uncalibrated}"
    if profile:
        source = f"this machine's noise, calibrated {profile.calibrated}"
    return (
        f"Runs apart in time drift; they were judged by {source}. Of the changes told, at most "
        f"{100 * rate:g} % are expected to be false; confirm suspects with --confirm or an --ab run."
    )
