"""What is known of a reference output, put to use where one is compared: a floor, a range, an arbiter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from perf.measure import tensor_io
from perf.schema.cell import Cell, ReferenceQuality
from perf.schema.journal import Compared

Allowed: TypeAlias = "np.ndarray | float"

# A target may err as far from the exact result as the reference does, on the other side.
SIDES = 2.0
# The noise of a reference raises no tolerance above this share of the output's scale: what is scaled,
# zeroed or swapped must fail however shaky the reference.
MOST_SHARE = 0.01
# A range is of few values: others may lie as far outside it as it is wide, this many times.
RANGE_MARGIN = 3.0


@dataclass(frozen=True)
class Trust:
    """The quality of one reference output, and its values in fp64 where they are known."""

    quality: ReferenceQuality = field(default_factory=lambda: ReferenceQuality(""))
    exact: np.ndarray | None = None

    def widen(self, allowed: Allowed, reference: np.ndarray) -> Allowed:
        """The difference allowed, an element each, with the reference's own noise beside the tolerance."""
        if not self.quality.noise or reference.dtype.kind != "f":
            return allowed
        most = MOST_SHARE * _scale(reference)
        return np.maximum(allowed, np.minimum(allowed + SIDES * self.quality.noise, most))

    def describe(
        self,
        got: np.ndarray,
        reference: np.ndarray,
        difference: np.ndarray,
        allowed: Allowed,
        wrong: np.ndarray,
    ) -> dict[str, Any]:
        """Facts beside a comparison: how shaky the reference is, and which side fp64 is on."""
        if reference.dtype.kind != "f" or not (scale := _scale(reference)):
            return {}
        noise = self.quality.noise
        out: dict[str, Any] = {
            "subnormal": _subnormals(got, reference, wrong),
            "within_noise": int(((difference > allowed) & ~wrong).sum()),
        }
        if noise is not None:
            out["reference_noise"] = noise / scale
            beyond = wrong & ~(difference <= allowed + SIDES * noise)
            out["beyond_noise"] = int(beyond.sum())
        if self.exact is not None and self.exact.shape == reference.shape:
            out["from_fp64"] = _share(got, self.exact, scale)
            out["reference_from_fp64"] = _share(reference, self.exact, scale)
        return out


NO_TRUST = Trust()


def trust_of(set_name: str, cell: Cell) -> Mapping[str, Trust]:
    """What is known of a set's reference outputs, by name; empty where nobody asked."""
    given = next((s for s in cell.sets if s.name == set_name), None)
    if given is None:
        return {}
    exact = tensor_io.load_exact(given)
    return {q.output: Trust(q, exact.get(q.output)) for q in given.quality}


def hold_range(
    set_name: str, name: str, got: np.ndarray | None, reference: np.ndarray, trust: Trust
) -> Compared:
    """Hold an output that chance decides against the shape, type and range of the values it took."""
    quality = trust.quality
    problem, outside = "", 0
    if got is None:
        problem = "no such output"
    elif got.ndim != reference.ndim or (got.shape != reference.shape and not quality.shape_varies):
        problem = f"shape {list(got.shape)}, expected {list(reference.shape)}"
    elif got.dtype.kind != reference.dtype.kind:
        problem = f"type {got.dtype}, expected {reference.dtype}"
    elif quality.low is not None and quality.high is not None:
        values = tensor_io.decode(got).astype(np.float64)
        room = RANGE_MARGIN * (quality.high - quality.low)
        inside = (values >= quality.low - room) & (values <= quality.high + room)
        outside = int((~inside).sum())
        if outside:
            span = f"{quality.low:.3g} … {quality.high:.3g}"
            problem = (
                f"{outside} of {got.size} elements are far outside {span}, the range of its values"
            )
    total = reference.size if got is None else got.size
    return Compared(set_name, name, problem, total if problem and not outside else outside, total,
                    reproducible=False)  # fmt: skip


def _scale(reference: np.ndarray) -> float:
    finite = np.abs(reference[np.isfinite(reference)])
    return float(finite.max(initial=0.0))


def _share(values: np.ndarray, exact: np.ndarray, scale: float) -> float | None:
    both = np.isfinite(values) & np.isfinite(exact)
    if not both.any():
        return None
    share = float(np.abs(values[both].astype(np.float64) - exact[both]).max()) / scale
    return share if np.isfinite(share) else None


def _subnormals(got: np.ndarray, reference: np.ndarray, wrong: np.ndarray) -> int:
    least = np.finfo(reference.dtype).tiny
    return int((wrong & (np.abs(got) < least) & (np.abs(reference) < least)).sum())
