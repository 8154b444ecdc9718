"""Verdicts that need no statistics: status, accuracy and placement, each a regression in its own right."""

from comparison.cell_summary import Accuracy, CellSummary, PlacementSummary
from comparison.verdict import Added, Broke, Fixed, Removed, Same, Verdict

ACCURACY_FACTOR = 2.0  # the error of the outputs at least doubled
ACCURACY_FLOOR = 1e-6  # a relative norm below fp32's rounding says nothing
SHARE_STEP = 0.001  # of elements beyond tolerance
PARTITIONS_FACTOR, PARTITIONS_STEP = 1.5, 2  # a jump: both exceeded


def compare_status(a: CellSummary, b: CellSummary) -> Verdict:
    """What became of a cell that both runs planned."""
    before, now = _describe_outcome(a), _describe_outcome(b)
    if a.passed and not b.passed:
        return Broke(now) if b.failed else Removed(now)
    if b.passed and not a.passed:
        return Fixed(f"was {before}") if a.failed else Added(f"was {before}" if a.outcome else "")
    if b.failed and not a.failed:
        return Added(f"fails, and was not tried before: {now}", fails=True)
    if a.failed and not b.failed:
        return Removed(f"failed before, and was not tried now: {now}")
    if a.failed and a.outcome != b.outcome and "Fail" not in (a.outcome, b.outcome):
        return Same(note=f"still failing, differently: {a.outcome} -> {now}")
    return Same(note=f"still failing: {now}" if b.failed else "")


def compare_accuracy(a: Accuracy, b: Accuracy) -> Verdict:
    """Whether outputs got further from their reference."""
    if a.unusable or b.unusable:
        if a.unusable and b.unusable:
            return Same(note=b.unusable)
        return Broke(b.unusable) if b.unusable else Fixed(f"was {a.unusable}")
    step = b.mismatched_share - a.mismatched_share
    if abs(step) > SHARE_STEP:
        what = f"{a.mismatched_share:.2%} -> {b.mismatched_share:.2%} of elements beyond tolerance"
        return Broke(what) if step > 0 else Fixed(what)
    if a.relative_norm is None or b.relative_norm is None:
        return Same()
    before, after = (max(x.relative_norm or 0.0, ACCURACY_FLOOR) for x in (a, b))
    ratio = after / before
    what = f"relative norm {a.relative_norm:.3g} -> {b.relative_norm:.3g}"
    if ratio >= ACCURACY_FACTOR:
        return Broke(what)
    if ratio <= 1 / ACCURACY_FACTOR:
        return Fixed(what)
    return Same(note=what if a.relative_norm != b.relative_norm else "")


def compare_placement(a: PlacementSummary, b: PlacementSummary) -> Verdict:
    """Whether nodes left the EP, or it was given many more subgraphs."""
    share_a, share_b = _find_share(a), _find_share(b)
    if share_a is not None and share_b is not None and share_a != share_b:
        nodes = f"{a.on_provider} of {a.total} -> {b.on_provider} of {b.total} nodes"
        return (Broke if share_b < share_a else Fixed)(f"{nodes} on {b.provider}")
    if a.partitions is not None and b.partitions is not None:
        what = f"{a.partitions} -> {b.partitions} partitions on {b.provider}"
        if _has_jumped(a.partitions, b.partitions):
            return Broke(what)
        if _has_jumped(b.partitions, a.partitions):
            return Fixed(what)
    return Same()


def _find_share(p: PlacementSummary) -> float | None:
    return p.on_provider / p.total if p.total else None


def _has_jumped(low: int, high: int) -> bool:
    return high >= low * PARTITIONS_FACTOR and high >= low + PARTITIONS_STEP


def _describe_outcome(cell: CellSummary) -> str:
    text = cell.outcome or "not run"
    return f"{text}: {cell.detail}" if cell.detail else text
