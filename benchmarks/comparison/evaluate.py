"""Error rates of every rule on the launches that collect.py gathered, as one Markdown table.

    python benchmarks/comparison/evaluate.py result/aa.jsonl

A comparison is A1 against another arm of the same model. Interleaved rules take rounds until they decide;
windows do not overlap. Stored rules compare blocks of launches apart in time, each block with each later one.
"""

import argparse
import itertools
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import beta, mannwhitneyu

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from comparison import change, noise  # noqa: E402
from comparison.facts import CellFacts, LaunchFacts, Metric  # noqa: E402
from comparison.noise import Noise  # noqa: E402
from perf.core.evidence import Improved, Regressed, Rule, Undecided, decide  # noqa: E402
from perf.core.statistics import quantile  # noqa: E402

ARMS = ("A2", "S5", "S10", "Q20")
BLOCK = 10  # launches a side of a stored comparison
APART = 2  # blocks between the two sides of a stored comparison


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
    """Campaigns of each model, rounds in order."""
    found: dict[tuple[str, str], dict[int, dict[str, Launch]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            x = json.loads(text)
            launch = Launch(tuple(x["samples_ns"]), x["began_s"], x["wall_s"])
            found[x["model"], x["campaign"]][x["round"]][x["arm"]] = launch
    out: dict[str, list[Rounds]] = defaultdict(list)
    for (model, _), rounds in sorted(found.items()):
        out[model].append([rounds[n] for n in sorted(rounds)])
    return out


def interleaved(rule: Rule) -> Callable[[Rounds, str], Iterator[Called]]:
    """The sequential rule, on windows that do not overlap; an unfinished last one is left out."""

    def call(rounds: Rounds, arm: str) -> Iterator[Called]:
        usable = [(r["A1"], r[arm]) for r in rounds if arm in r]
        while usable:
            most = 2 * rule.cap + 2
            decision = decide([(a.samples_ns, b.samples_ns) for a, b in usable[:most]], rule)
            if isinstance(decision, Undecided):
                return
            used = usable[: decision.evidence.pairs_used]
            usable = usable[len(used) :]
            verdict = isinstance(decision, Regressed) - isinstance(decision, Improved)
            yield Called(verdict, 2 * len(used), sum(a.wall_s + b.wall_s for a, b in used))

    return call


def one_launch(
    judge: Callable[[Launch, Launch], int],
) -> Callable[[Rounds, str], Iterator[Called]]:
    """A rule on the samples of one launch a side, neighbours in time."""

    def call(rounds: Rounds, arm: str) -> Iterator[Called]:
        for r in rounds:
            if arm in r:
                a, b = r["A1"], r[arm]
                yield Called(judge(a, b), 2, a.wall_s + b.wall_s)

    return call


def stored(
    judge: Callable[[CellFacts, CellFacts, CellFacts, CellFacts], int],
) -> Callable[[Rounds, str], Iterator[Called]]:
    """A rule on blocks of launches, A1 in one, the other arm in a later one, and back."""

    def call(rounds: Rounds, arm: str) -> Iterator[Called]:
        full = [r for r in rounds if arm in r and "C" in r]
        blocks = [full[i : i + BLOCK] for i in range(0, len(full) - BLOCK + 1, BLOCK)]
        for x, y in itertools.permutations(range(len(blocks)), 2):
            if abs(x - y) >= APART:
                a, b = blocks[x], blocks[y]
                sides = (_cell(a, "A1"), _cell(b, arm), _cell(a, "C"), _cell(b, "C"))
                wall_s = sum(r["A1"].wall_s for r in a) + sum(r[arm].wall_s for r in b)
                yield Called(judge(*sides), 2 * BLOCK, wall_s)

    return call


def _cell(rounds: Rounds, arm: str) -> CellFacts:
    launches = tuple(
        LaunchFacts(
            n,
            n,
            r[arm].began_s,
            "",
            (),
            {Metric.P50: quantile(sorted(r[arm].samples_ns), 0.25) / 1e6},
        )
        for n, r in enumerate(rounds)
    )
    return CellFacts("m::X", "m", "X", launches=launches)


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


def least_differs(a: CellFacts, b: CellFacts, _: CellFacts, __: CellFacts) -> int:
    """Least p25 of 10 launches against 10, by more than 2.5 %, noise unknown."""
    found = change.stored(a, b, Metric.P50, noise.BUILT_IN[Metric.P50], 0.005)
    d = found[0].log if found else 0.0
    return (d > math.log1p(0.025)) - (-d > math.log1p(0.025))


def within_bound(
    known: Noise, *, canary: bool
) -> Callable[[CellFacts, CellFacts, CellFacts, CellFacts], int]:
    """Ours: beyond 2.5 %, and improbable (.5 % a side) under the noise expected of such runs."""

    def judge(a: CellFacts, b: CellFacts, beside_a: CellFacts, beside_b: CellFacts) -> int:
        found = (
            change.against_canary(
                a, b, beside_a.launches, beside_b.launches, Metric.P50, known, 0.005
            )
            if canary
            else change.stored(a, b, Metric.P50, known, 0.005)
        )
        if found is None or found[0].p is None:
            return 0
        told = found[0]
        believed = told.p is not None and told.p < 0.005 and abs(told.log) > math.log1p(0.025)
        return (1 if told.log > 0 else -1) if believed else 0

    return judge


RULES: Mapping[str, Callable[[Rounds, str], Iterable[Called]]] = {
    "interleaved pairs, sequential, confirmed (ours)": interleaved(Rule()),
    "the same without confirmation": interleaved(Rule(confirm=False)),
    "predecessor: mean larger at all, one launch a side": one_launch(mean_differs(0.0)),
    "predecessor: mean differs by > 5 %, one launch a side": one_launch(mean_differs(0.05)),
    "predecessor: mean differs by > 10 %, one launch a side": one_launch(mean_differs(0.10)),
    "Mann-Whitney p < .01 and 2 %, one launch a side": one_launch(mann_whitney),
    f"stored, least p25 of {BLOCK} differs by > 2.5 %": stored(least_differs),
    "stored, within the built-in bound (ours)": stored(
        within_bound(noise.BUILT_IN[Metric.P50], canary=False)),
    "stored with canary (ours)": stored(
        within_bound(noise.BUILT_IN_CANARY[Metric.P50], canary=True)),
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


def table(campaigns: Sequence[Rounds]) -> Iterator[str]:
    """Markdown lines for some models together."""
    yield "| rule | A/A flagged | +5 % found | +10 % found | +20 % in a quarter found | launches | s each |"
    yield "|---|---|---|---|---|--:|--:|"
    for name, rule in RULES.items():
        told = {arm: [c for rounds in campaigns for c in rule(rounds, arm)] for arm in ARMS}
        cells = [rate(told[arm], slower_only=arm != "A2") for arm in ARMS]
        everything = [c for x in told.values() for c in x]
        cost = [
            f"{statistics.fmean(getattr(c, k) for c in everything):.1f}"
            for k in ("launches", "wall_s")
        ]
        yield f"| {name} | {' | '.join([*cells, *cost])} |"


def main() -> int:
    """Print a table over all models, then one for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, nargs="+")
    found = read(parser.parse_args().data)
    parts = [("all models", [x for c in found.values() for x in c]), *sorted(found.items())]
    for name, campaigns in parts:
        rounds = sum(len(c) for c in campaigns)
        print(f"\n{name}: {rounds} rounds in {len(campaigns)} campaigns\n")
        print("\n".join(table(campaigns)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
