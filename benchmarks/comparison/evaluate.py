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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from scipy.stats import beta, mannwhitneyu

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import page  # noqa: E402
from comparison import change, noise  # noqa: E402
from comparison.calibrate import FEWEST_BLOCKS, estimate_noise  # noqa: E402
from comparison.cell_summary import CellSummary, LaunchSummary, Metric  # noqa: E402
from comparison.noise import Noise  # noqa: E402
from perf.stats.sequential_test import Improved, Regressed, StoppingRule, decide  # noqa: E402
from perf.stats.summary import quantile  # noqa: E402

ARMS = ("A2", "S5", "S10", "Q20")
LAUNCHES = 10  # a side of a stored comparison
P50 = Metric.P50


@dataclass(frozen=True)
class Launch:
    """One line of collect.py."""

    samples_ns: tuple[int, ...]
    began_s: float
    wall_s: float


@dataclass(frozen=True)
class Call:
    """What a rule said of one comparison: 1 slower, -1 faster, 0 neither; and what it cost."""

    sign: int
    launches: int
    wall_s: float


Block: TypeAlias = Sequence[Mapping[str, Launch]]  # rounds, by arm
Rule: TypeAlias = Callable[[Sequence[Block], str], Iterator[Call]]
StoredJudge: TypeAlias = Callable[[CellSummary, CellSummary, CellSummary, CellSummary], int]


def read_blocks(paths: Sequence[Path]) -> Mapping[str, list[Block]]:
    """Blocks of each model in order of time, rounds in order."""
    blocks: dict[tuple[str, str], dict[int, dict[str, Launch]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for x in (json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()):
        launch = Launch(tuple(x["samples_ns"]), x["began_s"], x["wall_s"])
        blocks[x["model"], x["block"]][x["round"]][x["arm"]] = launch
    out: dict[str, list[Block]] = defaultdict(list)
    for (model, _), rounds in sorted(blocks.items()):
        out[model].append([rounds[n] for n in sorted(rounds)])
    return out


def judge_interleaved(rule: StoppingRule) -> Rule:
    """The sequential rule, once a block, on fresh hosts."""

    def judge(blocks: Sequence[Block], arm: str) -> Iterator[Call]:
        for rounds in blocks:
            pairs = [(r["A1"], r[arm]) for r in rounds if arm in r]
            if not pairs:
                continue
            decision = decide([(a.samples_ns, b.samples_ns) for a, b in pairs], rule)
            used = pairs[: decision.evidence.pairs_used] if decision.evidence else pairs
            sign = isinstance(decision, Regressed) - isinstance(decision, Improved)
            yield Call(sign, 2 * len(used), sum(a.wall_s + b.wall_s for a, b in used))

    return judge


def judge_one_launch(compare: Callable[[Launch, Launch], int]) -> Rule:
    """A rule on the samples of one launch a side, neighbours in time, in a block's first rounds."""

    def judge(blocks: Sequence[Block], arm: str) -> Iterator[Call]:
        for r in (r for rounds in blocks for r in rounds[:LAUNCHES] if arm in r):
            a, b = r["A1"], r[arm]
            yield Call(compare(a, b), 2, a.wall_s + b.wall_s)

    return judge


def judge_stored(compare: StoredJudge) -> Rule:
    """A rule on the first launches of blocks apart in time: A1 of one, the other arm of another."""

    def judge(blocks: Sequence[Block], arm: str) -> Iterator[Call]:
        for a, b in itertools.permutations(_first_rounds(blocks), 2):
            cells = (
                _summarise(a, "A1"),
                _summarise(b, arm),
                _summarise(a, "CA"),
                _summarise(b, "CB"),
            )
            wall_s = sum(r["A1"].wall_s for r in a) + sum(r[arm].wall_s for r in b)
            yield Call(compare(*cells), 2 * LAUNCHES, wall_s)

    return judge


def judge_calibrated(*, canary: bool) -> Rule:
    """Ours on the later half of the blocks, with noise calibrated on the earlier half."""

    def judge(blocks: Sequence[Block], arm: str) -> Iterator[Call]:
        half = len(_first_rounds(blocks)) // 2
        earlier, later = _first_rounds(blocks)[:half], _first_rounds(blocks)[half:]
        if len(earlier) < FEWEST_BLOCKS:
            return
        launches = [_summarise(b, "A1").launches for b in earlier]
        if canary:
            beside = [_summarise(b, "CA").launches for b in earlier]
            launches = [
                tuple(change.divide_by_canary(a, c, P50))
                for a, c in zip(launches, beside, strict=True)
            ]
        logs = [[math.log(x.values[P50]) for x in part] for part in launches]
        known = estimate_noise(logs, statistics.median if canary else min)
        known = replace(known, drift=max(known.drift, noise.LEAST_DRIFT))
        yield from judge_stored(judge_by_noise(canary=canary, known=known))(later, arm)

    return judge


def _first_rounds(blocks: Sequence[Block]) -> list[Block]:
    return [b[:LAUNCHES] for b in blocks if "CA" in b[0]]


def _summarise(rounds: Block, arm: str) -> CellSummary:
    quarters = [quantile(sorted(r[arm].samples_ns), 0.25) / 1e6 for r in rounds]
    launches = tuple(
        LaunchSummary(n, n, rounds[n][arm].began_s, "", (), {P50: q})
        for n, q in enumerate(quarters)
    )
    return CellSummary("m::X", "m", "X", launches=launches)


def _sign_beyond(log_ratio: float, threshold: float) -> int:
    limit = math.log1p(threshold)
    return (log_ratio > limit) - (-log_ratio > limit)


def compare_means(tolerance: float) -> Callable[[Launch, Launch], int]:
    """The predecessor's: the mean of one run against another's, by more than a tolerance."""

    def compare(a: Launch, b: Launch) -> int:
        d = math.log(statistics.fmean(b.samples_ns) / statistics.fmean(a.samples_ns))
        return _sign_beyond(d, tolerance) if tolerance else int(d > 0)

    return compare


def compare_ranks(a: Launch, b: Launch) -> int:
    """Mann-Whitney: pooled samples, p < .01, medians 2 % apart: what several harnesses do."""
    d = math.log(statistics.median(b.samples_ns) / statistics.median(a.samples_ns))
    differs = mannwhitneyu(a.samples_ns, b.samples_ns).pvalue < 0.01
    return _sign_beyond(d, 0.02) if differs else 0


def compare_least(a: CellSummary, b: CellSummary, _: CellSummary, __: CellSummary) -> int:
    """Least p25 of 10 launches against 10, by more than 2.5 %, noise unknown."""
    found = change.weigh_stored(a, b, P50, noise.MEASURED[P50].noise, 0.005)
    return _sign_beyond(found[0].log, 0.025) if found else 0


def judge_by_noise(*, canary: bool, known: Noise | None = None) -> StoredJudge:
    """Ours: beyond 2.5 %, and improbable (.5 % a side) under the noise expected of such runs."""
    expected = known or noise.expected_noise(None, "", P50, canary=canary)[0]

    def compare(
        a: CellSummary, b: CellSummary, beside_a: CellSummary, beside_b: CellSummary
    ) -> int:
        if canary:
            canaries = (beside_a.launches, beside_b.launches)
            found = change.weigh_by_canary(a, b, *canaries, P50, expected, 0.005)
        else:
            found = change.weigh_stored(a, b, P50, expected, 0.005)
        if found is None or found[0].p is None or found[0].p >= 0.005:
            return 0
        return _sign_beyond(found[0].log, 0.025)

    return compare


RULES: Mapping[str, Rule] = {
    "interleaved pairs, sequential, confirmed (ours)": judge_interleaved(StoppingRule()),
    "the same without confirmation": judge_interleaved(StoppingRule(confirm=False)),
    "predecessor: mean larger at all, one launch a side": judge_one_launch(compare_means(0.0)),
    "predecessor: mean differs by > 5 %, one launch a side": judge_one_launch(compare_means(0.05)),
    "predecessor: mean differs by > 10 %, one launch a side": judge_one_launch(
        compare_means(0.10)
    ),
    "Mann-Whitney p < .01 and 2 %, one launch a side": judge_one_launch(compare_ranks),
    f"stored, least p25 of {LAUNCHES} differs by > 2.5 %": judge_stored(compare_least),
    "stored, within the built-in bound (ours)": judge_stored(judge_by_noise(canary=False)),
    "stored, within calibrated noise (ours)": judge_calibrated(canary=False),
    "stored with canary (ours)": judge_stored(judge_by_noise(canary=True)),
    "stored with canary, calibrated (ours)": judge_calibrated(canary=True),
}


def format_rate(calls: Sequence[Call], *, slower_only: bool) -> str:
    """Share called, its counts and, for A/A, its 95 % upper bound (Clopper & Pearson, Biometrika 1934)."""
    n = len(calls)
    if not n:
        return "-"
    k = sum(c.sign == 1 if slower_only else c.sign != 0 for c in calls)
    bound = 1.0 if k == n else float(beta.ppf(0.95, k + 1, n - k))
    text = f"{100 * k / n:.3g} % ({k}/{n})"
    return text if slower_only else f"{text}, ≤ {100 * bound:.2g} %"


def make_rows(models: Sequence[Sequence[Block]]) -> Iterator[tuple[str, ...]]:
    """A rule, what it flagged and found, and what a comparison cost, for some models together."""
    for name, rule in RULES.items():
        calls = {arm: [c for blocks in models for c in rule(blocks, arm)] for arm in ARMS}
        if not (everything := list(itertools.chain.from_iterable(calls.values()))):
            continue
        launches = statistics.fmean(c.launches for c in everything)
        wall_s = statistics.fmean(c.wall_s for c in everything)
        rates = [format_rate(calls[arm], slower_only=arm != "A2") for arm in ARMS]
        yield name, *rates, f"{launches:.1f}", f"{wall_s:.1f}"


def make_table(name: str, models: Sequence[Sequence[Block]]) -> page.Table:
    """One table of the page."""
    blocks = [b for part in models for b in part]
    launches = sum(len(r) for b in blocks for r in b)
    p50s = [statistics.median(b[0]["A1"].samples_ns) / 1e6 for b in blocks]
    return page.Table(
        name="comparison",
        command="python benchmarks/comparison/evaluate.py DATA, DATA by collect.py beside it",
        header=("rule", "A/A flagged", "+5 % found", "+10 % found", "+20 % in a quarter found",
                "launches", "s each"),
        rows=tuple(make_rows(models)),
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
    args = parser.parse_args()
    models = read_blocks(args.data)
    for name, blocks in sorted(models.items()):
        page.publish(make_table(name, [blocks]), into_page=False)
    page.publish(
        make_table(", ".join(sorted(models)), list(models.values())), into_page=args.write
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
