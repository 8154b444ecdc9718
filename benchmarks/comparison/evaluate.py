"""Error rates of every rule on the launches that collect.py gathered, as one Markdown table.

    python benchmarks/comparison/evaluate.py result/aa.jsonl

A comparison is A1 against another arm of the same model. Interleaved rules take a block's rounds until
they decide; one undecided at its end counts as not flagged. Stored rules compare the first 10 launches of
one block with those of another, every ordered pair of blocks (pairs share launches, so that their bounds
are optimistic).
"""

import argparse
import itertools
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.stats import beta, mannwhitneyu

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import page  # noqa: E402
from comparison import change, noise  # noqa: E402
from comparison.calibrate import FEWEST_BLOCKS, noise_of  # noqa: E402
from comparison.cell_summary import CellSummary, LaunchSummary, Metric  # noqa: E402
from comparison.noise import Noise  # noqa: E402
from perf.stats.sequential_test import Improved, Regressed, StoppingRule, decide  # noqa: E402
from perf.stats.summary import quantile  # noqa: E402

ARMS = ("A2", "S5", "S10", "Q20")
LAUNCHES = 10  # a side of a stored comparison


@dataclass(frozen=True)
class Launch:
    """One line of collect.py."""

    samples_ns: tuple[int, ...]
    began_s: float
    wall_s: float


@dataclass(frozen=True)
class Called:
    """What a rule said of one comparison: 1 slower, -1 faster, 0 neither; and what it cost."""

    verdict: int
    launches: int
    wall_s: float


Round = Mapping[str, Launch]
Rounds = Sequence[Round]
Rates = Mapping[str, list[Called]]


def read(paths: Sequence[Path]) -> Mapping[str, list[Rounds]]:
    """Blocks of each model in order of time, rounds in order."""
    found: dict[tuple[str, str], dict[int, dict[str, Launch]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            x = json.loads(text)
            launch = Launch(tuple(x["samples_ns"]), x["began_s"], x["wall_s"])
            found[x["model"], x["block"]][x["round"]][x["arm"]] = launch
    out: dict[str, list[Rounds]] = defaultdict(list)
    for (model, _), rounds in sorted(found.items()):
        out[model].append([rounds[n] for n in sorted(rounds)])
    return out


def interleaved(rule: StoppingRule) -> Callable[[Sequence[Rounds], str], Iterator[Called]]:
    """The sequential rule, once a block, on fresh hosts."""

    def call(blocks: Sequence[Rounds], arm: str) -> Iterator[Called]:
        for rounds in blocks:
            pairs = [(r["A1"], r[arm]) for r in rounds if arm in r]
            if not pairs:
                continue
            decision = decide([(a.samples_ns, b.samples_ns) for a, b in pairs], rule)
            used = pairs[: decision.evidence.pairs_used] if decision.evidence else pairs
            verdict = isinstance(decision, Regressed) - isinstance(decision, Improved)
            yield Called(verdict, 2 * len(used), sum(a.wall_s + b.wall_s for a, b in used))

    return call


def one_launch(
    judge: Callable[[Launch, Launch], int],
) -> Callable[[Sequence[Rounds], str], Iterator[Called]]:
    """A rule on the samples of one launch a side, neighbours in time, in a block's first rounds."""

    def call(blocks: Sequence[Rounds], arm: str) -> Iterator[Called]:
        for r in (r for rounds in blocks for r in rounds[:LAUNCHES]):
            if arm in r:
                a, b = r["A1"], r[arm]
                yield Called(judge(a, b), 2, a.wall_s + b.wall_s)

    return call


def stored(
    judge: Callable[[CellSummary, CellSummary, CellSummary, CellSummary], int],
) -> Callable[[Sequence[Rounds], str], Iterator[Called]]:
    """A rule on the first launches of blocks apart in time: A1 of one, the other arm of another."""

    def call(blocks: Sequence[Rounds], arm: str) -> Iterator[Called]:
        full = [b[:LAUNCHES] for b in blocks if "CA" in b[0]]
        for x, y in itertools.permutations(range(len(full)), 2):
            a, b = full[x], full[y]
            sides = (_cell(a, "A1"), _cell(b, arm), _cell(a, "CA"), _cell(b, "CB"))
            wall_s = sum(r["A1"].wall_s for r in a) + sum(r[arm].wall_s for r in b)
            yield Called(judge(*sides), 2 * LAUNCHES, wall_s)

    return call


def _cell(rounds: Rounds, arm: str) -> CellSummary:
    launches = tuple(
        LaunchSummary(
            n,
            n,
            r[arm].began_s,
            "",
            (),
            {Metric.P50: quantile(sorted(r[arm].samples_ns), 0.25) / 1e6},
        )
        for n, r in enumerate(rounds)
    )
    return CellSummary("m::X", "m", "X", launches=launches)


def mean_differs(tolerance: float) -> Callable[[Launch, Launch], int]:
    """The predecessor's: the mean of one run against another's, by more than a tolerance."""

    def judge(a: Launch, b: Launch) -> int:
        d = math.log(statistics.fmean(b.samples_ns) / statistics.fmean(a.samples_ns))
        return (d > math.log1p(tolerance)) - (tolerance > 0 and -d > math.log1p(tolerance))

    return judge


def mann_whitney(a: Launch, b: Launch) -> int:
    """Pooled samples, p < .01, medians 2 % apart: what several harnesses do."""
    d = math.log(statistics.median(b.samples_ns) / statistics.median(a.samples_ns))
    if abs(d) <= math.log1p(0.02) or mannwhitneyu(a.samples_ns, b.samples_ns).pvalue >= 0.01:
        return 0
    return 1 if d > 0 else -1


def least_differs(a: CellSummary, b: CellSummary, _: CellSummary, __: CellSummary) -> int:
    """Least p25 of 10 launches against 10, by more than 2.5 %, noise unknown."""
    found = change.stored_change(a, b, Metric.P50, noise.BUILT_IN[Metric.P50], 0.005)
    d = found[0].log if found else 0.0
    return (d > math.log1p(0.025)) - (-d > math.log1p(0.025))


def within_bound(
    known: Noise, *, canary: bool
) -> Callable[[CellSummary, CellSummary, CellSummary, CellSummary], int]:
    """Ours: beyond 2.5 %, and improbable (.5 % a side) under the noise expected of such runs."""

    def judge(a: CellSummary, b: CellSummary, beside_a: CellSummary, beside_b: CellSummary) -> int:
        found = (
            change.canary_change(
                a, b, beside_a.launches, beside_b.launches, Metric.P50, known, 0.005
            )
            if canary
            else change.stored_change(a, b, Metric.P50, known, 0.005)
        )
        if found is None or found[0].p is None:
            return 0
        told = found[0]
        believed = told.p is not None and told.p < 0.005 and abs(told.log) > math.log1p(0.025)
        return (1 if told.log > 0 else -1) if believed else 0

    return judge


def calibrated(*, canary: bool) -> Callable[[Sequence[Rounds], str], Iterator[Called]]:
    """Ours on the later half of the blocks, with noise calibrated on the earlier half."""

    def call(blocks: Sequence[Rounds], arm: str) -> Iterator[Called]:
        full = [b[:LAUNCHES] for b in blocks if "CA" in b[0]]
        earlier, later = full[: len(full) // 2], full[len(full) // 2 :]
        if len(earlier) < FEWEST_BLOCKS:
            return
        cells = [(_cell(b, "A1"), _cell(b, "CA").launches) for b in earlier]
        launches = [
            change.divided(a.launches, beside, Metric.P50) if canary else a.launches
            for a, beside in cells
        ]
        logs = [[math.log(x.values[Metric.P50]) for x in part] for part in launches]
        known = noise_of(logs, statistics.median if canary else min)
        known = replace(known, drift=max(known.drift, noise.LEAST_DRIFT))
        yield from stored(within_bound(known, canary=canary))(later, arm)

    return call


RULES: Mapping[str, Callable[[Sequence[Rounds], str], Iterable[Called]]] = {
    "interleaved pairs, sequential, confirmed (ours)": interleaved(StoppingRule()),
    "the same without confirmation": interleaved(StoppingRule(confirm=False)),
    "predecessor: mean larger at all, one launch a side": one_launch(mean_differs(0.0)),
    "predecessor: mean differs by > 5 %, one launch a side": one_launch(mean_differs(0.05)),
    "predecessor: mean differs by > 10 %, one launch a side": one_launch(mean_differs(0.10)),
    "Mann-Whitney p < .01 and 2 %, one launch a side": one_launch(mann_whitney),
    f"stored, least p25 of {LAUNCHES} differs by > 2.5 %": stored(least_differs),
    "stored, within the built-in bound (ours)": stored(
        within_bound(noise.BUILT_IN[Metric.P50], canary=False)),
    "stored, within calibrated noise (ours)": calibrated(canary=False),
    "stored with canary (ours)": stored(
        within_bound(noise.BUILT_IN_CANARY[Metric.P50], canary=True)),
    "stored with canary, calibrated (ours)": calibrated(canary=True),
}  # fmt: skip


def rate(called: Sequence[Called], slower_only: bool) -> str:
    """Share called, its counts and, for A/A, its 95 % upper bound (Clopper & Pearson, Biometrika 1934)."""
    n = len(called)
    if not n:
        return "-"
    k = sum(c.verdict == 1 if slower_only else c.verdict != 0 for c in called)
    bound = 1.0 if k == n else float(beta.ppf(0.95, k + 1, n - k))
    text = f"{100 * k / n:.3g} % ({k}/{n})"
    return text if slower_only else f"{text}, ≤ {100 * bound:.2g} %"


def rows(models: Sequence[Sequence[Rounds]]) -> Iterator[tuple[str, ...]]:
    """A rule, what it flagged and found, and what a comparison cost, for some models together."""
    for name, rule in RULES.items():
        told = {arm: [c for blocks in models for c in rule(blocks, arm)] for arm in ARMS}
        everything = [c for x in told.values() for c in x]
        if not everything:
            continue
        launches = statistics.fmean(c.launches for c in everything)
        wall_s = statistics.fmean(c.wall_s for c in everything)
        cells = [rate(told[arm], slower_only=arm != "A2") for arm in ARMS]
        yield name, *cells, f"{launches:.1f}", f"{wall_s:.1f}"


def table(name: str, models: Sequence[Sequence[Rounds]]) -> page.Table:
    """One table of the page."""
    blocks = [b for part in models for b in part]
    launches = sum(len(r) for b in blocks for r in b)
    p50s = [statistics.median(b[0]["A1"].samples_ns) / 1e6 for b in blocks]
    return page.Table(
        name="comparison",
        command="python benchmarks/comparison/evaluate.py DATA, DATA by collect.py beside it",
        header=("rule", "A/A flagged", "+5 % found", "+10 % found", "+20 % in a quarter found",
                "launches", "s each"),
        rows=tuple(rows(models)),
        notes=(
            f"{name}: {len(blocks)} blocks on fresh hosts, {launches} launches of {StoppingRule().runs} runs, p50 "
            f"{min(p50s):.1f}-{max(p50s):.1f} ms, one thread on one core; slowdowns were spun inside the "
            "timed region",
            "≤ is the 95 % upper bound of Clopper and Pearson; stored comparisons share launches, so that "
            "theirs is optimistic",
        ),
    )  # fmt: skip


def main() -> int:
    """Print a table for each model, then the one over all, which --write puts into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md too")
    given = parser.parse_args()
    found = read(given.data)
    for name, blocks in sorted(found.items()):
        page.publish(table(name, [blocks]), into_page=False)
    page.publish(table(", ".join(sorted(found)), list(found.values())), into_page=given.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
