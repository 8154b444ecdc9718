"""Measures this machine's false alarms and detectable changes by comparing targets with themselves."""

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median, stdev, variance

from comparison import noise, rerun
from comparison.cell_summary import CellSummary, LaunchSummary, Metric, RunSummary, UnreadableError
from comparison.change import divide_by_canary, t_at
from comparison.noise import MEASURED, CalibratedNoise, Noise, Profile
from comparison.run_records import read_run
from perf.request.any_terminal import any_terminal
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.stats.sequential_test import (
    Improved,
    Regressed,
    StoppingRule,
    Undecided,
    decide,
    p10,
    standard_error,
)
from perf.stats.summary import POWER_Z, mad

BLOCK = 5  # launches of a default run: what stored comparisons are made of
FEWEST_BLOCKS = 3
NONSENSE = 1.0  # a bound above this is no noise to judge by: a machine at work on other things
MOST_DF = 8  # heavier than normal tails, however many blocks there were
Launches = Sequence[LaunchSummary]


def main(argv: Sequence[str] | None = None) -> int:
    """Launch, or take runs that exist; estimate, store and print. Exit status 2 where it cannot."""
    try:
        args = make_parser().parse_args(argv)
        folders = args.runs or [_launch_cells(args)]
        profile = calibrate_machine([read_run(f) for f in folders])
    except (UnreadableError, BadRequestError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    if nonsense := find_nonsense(profile):
        print(f"error: {nonsense}", file=sys.stderr)
        return 2
    path = noise.write_profile(profile)
    print("\n".join(describe_profile(profile)))
    print(f"stored in {path}")
    return 0


def calibrate_machine(runs: Sequence[RunSummary]) -> Profile:
    """The machine's profile from cells measured again and again; raises UnreadableError for too few."""
    cells: dict[str, list[CellSummary]] = defaultdict(list)
    for cell in (c for run in runs for c in run.cells):
        cells[cell.name].append(cell)
    canaries = [c for run in runs for c in run.canaries]
    plain: dict[str, CalibratedNoise] = {}
    divided: dict[str, CalibratedNoise] = {}
    for cell_id, parts in cells.items():
        _check_same_conditions(parts)
        launches = [sorted(p.launches, key=lambda x: x.order) for p in parts]
        for metric in MEASURED:
            if found := _calibrate_cell(launches, metric, min):
                plain[f"{cell_id}/{metric.value}"] = found
            beside = [divide_by_canary(x, _find_canary(x, canaries), metric) for x in launches]
            if found := _calibrate_cell(beside, metric, median):
                divided[f"{cell_id}/{metric.value}"] = found
    if not plain:
        raise UnreadableError(
            f"no cell has {FEWEST_BLOCKS * BLOCK} launches; raise --launches, or give more runs"
        )
    return Profile(
        machine=noise.find_machine_id(),
        calibrated=f"{datetime.now(UTC):%Y-%m-%d}",
        cells=plain | _find_noisiest(plain),
        canary=divided | _find_noisiest(divided),
    )


def find_nonsense(profile: Profile) -> str:
    """Why this is no machine to calibrate; "" where the latencies of its cells repeat well enough."""
    bounds = {
        key: stored_bound(m.noise)
        for key, m in profile.cells.items()
        if key.endswith(f"/{Metric.P50.value}")
    }
    worst = max(bounds, key=lambda key: bounds[key], default="")
    if not worst or bounds[worst] <= NONSENSE:
        return ""
    return (
        f"two stored runs of {worst} would differ by up to {100 * bounds[worst]:.0f} %: nothing could ever "
        "be told here; see what else runs (top), then calibrate again. Nothing was stored"
    )


def stored_bound(known: Noise) -> float:
    """The largest relative difference that two stored runs of the same show, but for one in a hundred."""
    return math.expm1(t_at(0.995, known.df) * _stored_deviation(known))


def estimate_noise(
    blocks: Sequence[Sequence[float]], centre: Callable[[Iterable[float]], float] = min
) -> Noise:
    """Launch and drift deviations from log statistics of blocks of launches, each block one run.

    Drift is what the blocks' centres vary by beyond what their launches explain;
    the tails are a t distribution's with one degree of freedom less than there are blocks.
    """
    launch = math.sqrt(fmean(map(variance, blocks)))
    centres = list(map(centre, blocks))
    spread = max(stdev(centres), mad(centres))
    explained = launch**2 / fmean(map(len, blocks))
    drift = math.sqrt(max(0.0, spread**2 - explained))
    return Noise(launch, drift, max(2, min(MOST_DF, len(blocks) - 1)))


def describe_profile(profile: Profile) -> list[str]:
    """The profile for people: a line per cell and metric."""
    out = [f"Noise of this machine ({profile.machine}), {profile.calibrated}:"]
    for key, m in sorted(profile.cells.items()):
        bound = 100 * stored_bound(m.noise)
        line = f"  {key}: {m.launches} launches; two stored runs of {BLOCK} differ by up to {bound:.1f} %"
        if m.comparisons and m.false_alarms is not None and m.detectable is not None:
            flagged = round(m.false_alarms * m.comparisons)
            line += f"; A/A flagged {flagged} of {m.comparisons}; an A/B sees {100 * m.detectable:.1f} %"
        out.append(line)
    return out


def _calibrate_cell(
    parts: Sequence[Launches], metric: Metric, centre: Callable[[Iterable[float]], float]
) -> CalibratedNoise | None:
    logs = [[math.log(x.values[metric]) for x in p if metric in x.values] for p in parts]
    blocks = [p[i : i + BLOCK] for p in logs for i in range(0, len(p) - BLOCK + 1, BLOCK)]
    if len(blocks) < FEWEST_BLOCKS:
        return None
    found = CalibratedNoise(estimate_noise(blocks, centre), sum(map(len, logs)), len(blocks))
    return _count_false_alarms(found, parts) if metric is Metric.P50 else found


def _count_false_alarms(found: CalibratedNoise, parts: Sequence[Launches]) -> CalibratedNoise:
    """A/A comparisons of neighbouring launches by the sequential rule, on windows that do not overlap."""
    rule, flagged, done, ratios = StoppingRule(), 0, 0, []
    for part in parts:
        pairs = [(a.samples_ns, b.samples_ns) for a, b in zip(part[::2], part[1::2], strict=False)]
        pairs = [(a, b) for a, b in pairs if a and b]
        ratios += [math.log(p10(b) / p10(a)) for a, b in pairs]
        while not isinstance(decision := decide(pairs, rule), Undecided):
            done += 1
            flagged += isinstance(decision, Regressed | Improved)
            pairs = pairs[decision.evidence.pairs_used :]
    if not done:
        return found
    error = standard_error(max(rule.floor, mad(ratios)), rule.cap)
    detectable = math.expm1(math.log1p(rule.threshold) + (rule.z + POWER_Z) * error)
    return replace(found, false_alarms=flagged / done, comparisons=done, detectable=detectable)


def _find_canary(launches: Launches, canaries: Sequence[CellSummary]) -> Launches:
    """The canary's launches of the same run: those between the first and the last of these."""
    if not launches:
        return ()
    boot, begin, end = launches[0].boot_id, launches[0].began_s - 60, launches[-1].began_s + 60
    beside = (x for c in canaries for x in c.launches)
    return [x for x in beside if x.boot_id == boot and begin <= x.began_s <= end]


def _find_noisiest(found: Mapping[str, CalibratedNoise]) -> dict[str, CalibratedNoise]:
    """For cells that were not calibrated: the noisiest of those that were, by metric."""
    quietest_first = sorted(found.items(), key=lambda item: _stored_deviation(item[1].noise))
    return {
        "*/" + key.rpartition("/")[2]: CalibratedNoise(m.noise, m.launches, m.groups)
        for key, m in quietest_first
    }


def _stored_deviation(known: Noise) -> float:
    return noise.ratio_deviation(known, (BLOCK, BLOCK))


def _check_same_conditions(parts: Sequence[CellSummary]) -> None:
    """Cells of one id from several runs are one question; raises UnreadableError where they are not."""
    first = parts[0].conditions
    for other in parts[1:]:
        if different := [k for k in first if other.conditions.get(k) != first[k] and k != "host"]:
            raise UnreadableError(
                f"{parts[0].id} was not asked alike in these runs (it differs in {', '.join(different)})"
            )


def _launch_cells(args: argparse.Namespace) -> Path:
    words = ["--launches", str(args.launches), "-t", str(StoppingRule().runs)]
    words += ["--canary"] if args.canary else []
    words += ["-m", args.model_source] if args.model_source else []
    words += ["-e", *args.ep_list] if args.ep_list else []
    words += ["--models", *args.models] if args.models else []
    return rerun.run_wrapper(words, args.results, f"calibrate-{time.time_ns():x}")


def make_parser() -> CommandParser:
    """The flags of a calibration."""
    prog = command_of("comparison.calibrate")
    out = CommandParser(
        prog, "What noise this machine has: launches targets many times, or reads runs of the same cells.",
        examples=(f"{prog} -e CPUExecutionProvider --models squeezenet", f"{prog} --runs result/A result/B"),
    )  # fmt: skip
    out.add_argument("--runs", nargs="+", type=Path, default=[], metavar="RUN",
                     help="run folders of the same cells, instead of launching")  # fmt: skip
    out.add_argument("--launches", type=int, default=60, metavar="N",
                     help="measure launches per cell (default 60)")  # fmt: skip
    out.add_argument("-m", "--model_source", default="", metavar="PATH")
    out.add_argument("-e", "--ep_list", nargs="+", default=[], metavar="EP")
    out.add_argument("--models", nargs="+", default=[], metavar="GLOB")
    out.add_argument("--canary", action="store_true", help="calibrate the canary too")
    out.add_argument("--results", type=Path, default=Path("result"), metavar="DIR")
    return out


if __name__ == "__main__":
    with any_terminal():
        sys.exit(main())
