"""Measures this machine's false alarms and detectable changes by comparing targets with themselves."""

import argparse
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from comparison import change, noise, rerun
from comparison.cell_summary import CellSummary, LaunchSummary, Metric
from comparison.judge import MEASURED
from comparison.noise import Measured, Noise, Profile
from comparison.run_records import UnreadableError, read_run
from perf.request.bad_request import BadRequestError
from perf.request.broken_pipe import ignore_broken_pipes
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
from perf.stats.summary import mad

BLOCK = 5  # launches of a default run: what stored comparisons are made of
FEWEST_BLOCKS = 3
MOST_DF = 8  # heavier than normal tails, however many blocks there were


def main(argv: Sequence[str] | None = None) -> int:
    """Launch, or take runs that exist; estimate, store and print. Exit status 2 where it cannot."""
    try:
        args = make_parser().parse_args(argv)
        folders = args.runs or [_launched(args)]
        sides = [read_run(f) for f in folders]
        cells: dict[str, list[CellSummary]] = defaultdict(list)
        for side in sides:
            for cell in side.cells:
                cells[cell.id].append(cell)
        canaries = [c for side in sides for c in side.canaries]
        profile = calibrated({k: _one_question(v) for k, v in cells.items()}, canaries)
    except (UnreadableError, BadRequestError) as e:
        print(f"cannot calibrate: {e}", file=sys.stderr)
        return 2
    where = noise.store(profile)
    print("\n".join(describe_profile(profile)))
    print(f"stored in {where}")
    return 0


def calibrated(
    cells: Mapping[str, Sequence[CellSummary]], canaries: Sequence[CellSummary] = ()
) -> Profile:
    """The machine's profile from cells asked again and again; raises UnreadableError for too few launches."""
    plain: dict[str, Measured] = {}
    divided: dict[str, Measured] = {}
    for cell, parts in cells.items():
        launches = [sorted(p.launches, key=lambda x: x.order) for p in parts]
        for metric in MEASURED:
            if found := _measured(launches, metric):
                plain[f"{cell}/{metric.value}"] = found
            beside = [change.divided(x, _of_boot(x, canaries), metric) for x in launches]
            if found := _measured(beside, metric, statistics.median):
                divided[f"{cell}/{metric.value}"] = found
    if not plain:
        raise UnreadableError(
            f"no cell has {FEWEST_BLOCKS * BLOCK} launches; raise --launches, or give more runs"
        )
    return Profile(
        machine=noise.machine_id(),
        calibrated=f"{datetime.now(UTC):%Y-%m-%d}",
        cells=plain | _worst(plain),
        canary=divided | _worst(divided),
    )


def noise_of(
    blocks: Sequence[Sequence[float]], centre: Callable[[Sequence[float]], float] = min
) -> Noise:
    """Launch and drift deviations from log statistics of blocks of launches, each block one run.

    Drift is what the blocks' centres vary by beyond what their launches explain;
    the tails are a t distribution's with one degree of freedom less than there are blocks.
    """
    launch = math.sqrt(statistics.fmean(statistics.variance(b) for b in blocks))
    centres = [centre(b) for b in blocks]
    spread = max(statistics.stdev(centres), mad(centres))
    explained = launch**2 / statistics.fmean(len(b) for b in blocks)
    drift = math.sqrt(max(0.0, spread**2 - explained))
    return Noise(launch, drift, max(2, min(MOST_DF, len(blocks) - 1)))


def describe_profile(profile: Profile) -> list[str]:
    """The profile for people: a line per cell and metric."""
    out = [f"Noise of this machine ({profile.machine}), {profile.calibrated}:"]
    for key, m in sorted(profile.cells.items()):
        bound = 100 * math.expm1(
            change.t_at(0.995, m.noise.df) * noise.spread(m.noise, (BLOCK, BLOCK))
        )
        line = f"  {key}: {m.launches} launches; two stored runs of {BLOCK} differ by up to {bound:.1f} %"
        if m.comparisons and m.false_alarms is not None and m.detectable is not None:
            flagged = round(m.false_alarms * m.comparisons)
            line += f"; A/A flagged {flagged} of {m.comparisons}; an A/B sees {100 * m.detectable:.1f} %"
        out.append(line)
    return out


def _measured(
    parts: Sequence[Sequence[LaunchSummary]],
    metric: Metric,
    centre: Callable[[Sequence[float]], float] = min,
) -> Measured | None:
    logs = [[math.log(x.values[metric]) for x in p if metric in x.values] for p in parts]
    blocks = [p[i : i + BLOCK] for p in logs for i in range(0, len(p) - BLOCK + 1, BLOCK)]
    if len(blocks) < FEWEST_BLOCKS:
        return None
    found = Measured(noise_of(blocks, centre), sum(map(len, logs)), len(blocks))
    return _sequential(found, parts) if metric is Metric.P50 else found


def _sequential(found: Measured, parts: Sequence[Sequence[LaunchSummary]]) -> Measured:
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
    sees = math.expm1(math.log1p(rule.threshold) + (rule.z + change.POWER_Z) * error)
    return replace(found, false_alarms=flagged / done, comparisons=done, detectable=sees)


def _of_boot(
    launches: Sequence[LaunchSummary], canaries: Sequence[CellSummary]
) -> Sequence[LaunchSummary]:
    """The canary's launches of the same run: those between the first and the last of these."""
    if not launches:
        return ()
    first, last = launches[0], launches[-1]
    return [
        x
        for c in canaries
        for x in c.launches
        if x.boot_id == first.boot_id and first.began_s - 60 <= x.began_s <= last.began_s + 60
    ]


def _worst(found: Mapping[str, Measured]) -> dict[str, Measured]:
    """For cells that were not calibrated: the noisiest of those that were, by metric."""
    out: dict[str, Measured] = {}
    for key, m in found.items():
        star = "*/" + key.rpartition("/")[2]
        if star not in out or noise.spread(m.noise, (BLOCK, BLOCK)) > noise.spread(
            out[star].noise, (BLOCK, BLOCK)
        ):
            out[star] = Measured(m.noise, m.launches, m.groups)
    return out


def _one_question(parts: Sequence[CellSummary]) -> Sequence[CellSummary]:
    """Cells of one id from several runs; refused where they were not asked alike."""
    first = parts[0].conditions
    for other in parts[1:]:
        if different := [k for k in first if other.conditions.get(k) != first[k] and k != "host"]:
            raise UnreadableError(
                f"{parts[0].id} was not asked alike in these runs (it differs in {', '.join(different)})"
            )
    return parts


def _launched(args: argparse.Namespace) -> Path:
    words = [
        "--launches",
        str(args.launches),
        "-t",
        str(StoppingRule().runs),
        *(["--canary"] if args.canary else []),
    ]
    for flag, value in (
        ("-m", args.model_source),
        ("-e", args.ep_list),
        ("--models", args.models),
    ):
        if value:
            words += [flag, *([value] if isinstance(value, str) else value)]
    return rerun.run_again(words, args.results, f"calibrate-{time.time_ns():x}")


def make_parser() -> CommandParser:
    """The flags of a calibration."""
    prog = command_of("comparison.calibrate")
    out = CommandParser(
        prog, "What noise this machine has: launches targets many times, or reads runs of the same cells.",
        examples=(f"{prog} -e CPUExecutionProvider --models squeezenet", f"{prog} --runs result/A result/B"),
    )  # fmt: skip
    out.add_argument("--runs", nargs="+", type=Path, default=[], metavar="RUN",
                     help="run folders of the same cells, instead of launching")  # fmt: skip
    out.add_argument(
        "--launches", type=int, default=60, help="measure launches per cell (default 60)"
    )
    out.add_argument("-m", "--model_source", default="", metavar="PATH")
    out.add_argument("-e", "--ep_list", nargs="+", default=[], metavar="EP")
    out.add_argument("--models", nargs="+", default=[], metavar="GLOB")
    out.add_argument("--canary", action="store_true", help="calibrate the canary too")
    out.add_argument("--results", type=Path, default=Path("result"), metavar="DIR")
    return out


if __name__ == "__main__":
    with ignore_broken_pipes():
        sys.exit(main())
