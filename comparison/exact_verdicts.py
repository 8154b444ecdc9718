"""Verdicts that need no statistics: status, accuracy and placement, each a regression in its own right."""

from comparison.cell_summary import Accuracy, CellSummary, PlacementSummary, failed, passed
from comparison.verdict import Added, Broke, Fixed, Removed, Same, Verdict

ACCURACY_FACTOR = 2.0  # the error of the outputs at least doubled
ACCURACY_FLOOR = 1e-6  # a relative norm below fp32's rounding says nothing
SHARE_STEP = 0.001  # of elements beyond tolerance
PARTITIONS_FACTOR, PARTITIONS_STEP = 1.5, 2  # a jump: both exceeded


def status(a: CellSummary, b: CellSummary) -> Verdict:
    """What became of a cell that both sides planned."""
    if passed(a) and failed(b):
        return Broke(_told(b))
    if failed(a) and passed(b):
        return Fixed(f"was {_told(a)}")
    if passed(a) and not passed(b):
        return Removed(_told(b))
    if passed(b) and not passed(a):
        return Added(f"was {_told(a)}" if a.outcome else "")
    if failed(a) and failed(b) and a.outcome != b.outcome and "Fail" not in (a.outcome, b.outcome):
        return Same(note=f"still failing, differently: {a.outcome} -> {_told(b)}")
    if failed(b) and not failed(a):
        return Added(f"fails, and was not tried before: {_told(b)}", fails=True)
    if failed(a) and not failed(b):
        return Removed(f"failed before, and was not tried now: {_told(b)}")
    return Same(note=f"still failing: {_told(b)}" if failed(b) else "")


def accuracy(a: Accuracy, b: Accuracy) -> Verdict:
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
    before, after = max(a.relative_norm, ACCURACY_FLOOR), max(b.relative_norm, ACCURACY_FLOOR)
    ratio = after / before
    what = f"relative norm {a.relative_norm:.3g} -> {b.relative_norm:.3g}"
    if ratio >= ACCURACY_FACTOR:
        return Broke(what, ratio)
    if ratio <= 1 / ACCURACY_FACTOR:
        return Fixed(what, ratio)
    return Same(note=what if a.relative_norm != b.relative_norm else "")


def placement(a: PlacementSummary, b: PlacementSummary) -> Verdict:
    """Whether nodes left the EP, or it was given many more subgraphs."""
    share_a, share_b = _share(a), _share(b)
    if share_a is not None and share_b is not None and share_a != share_b:
        what = (
            f"{a.on_provider} of {a.total} -> {b.on_provider} of {b.total} nodes on {b.provider}"
        )
        ratio = share_b / share_a if share_a and share_b else None
        return Broke(what, ratio) if share_b < share_a else Fixed(what, ratio)
    if a.partitions is not None and b.partitions is not None:
        what = f"{a.partitions} -> {b.partitions} partitions on {b.provider}"
        if _jump(a.partitions, b.partitions):
            return Broke(what)
        if _jump(b.partitions, a.partitions):
            return Fixed(what)
    return Same()


def _share(p: PlacementSummary) -> float | None:
    return p.on_provider / p.total if p.total else None


def _jump(low: int, high: int) -> bool:
    return high >= low * PARTITIONS_FACTOR and high >= low + PARTITIONS_STEP


def _told(cell: CellSummary) -> str:
    text = cell.outcome or "not run"
    return f"{text}: {cell.detail}" if cell.detail else text
