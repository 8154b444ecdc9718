"""What is known of a reference output, put to use where one is compared: a floor, draws, an arbiter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from perf.measure import tensor_io
from perf.schema.cell import Cell, ReferenceQuality
from perf.schema.journal import Compared
from perf.worker import drawn_outputs

Allowed: TypeAlias = "np.ndarray | float"

# A target may err as far from the exact result as the reference does, on the other side.
SIDES = 2.0
# The noise of a reference raises no tolerance above this share of the output's scale: what is scaled,
# zeroed or swapped must fail however shaky the reference.
MOST_SHARE = 0.01


@dataclass(frozen=True)
class Trust:
    """The quality of one reference output, and its values in fp64 where they are known."""

    quality: ReferenceQuality = field(default_factory=lambda: ReferenceQuality(""))
    exact: np.ndarray | None = None
    drawn: drawn_outputs.Draws = ()  # of what chance decides, flat

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
    exact, drawn = tensor_io.load_exact(given), drawn_outputs.load_draws(given)
    return {
        q.output: Trust(q, exact.get(q.output), drawn.get(q.output, ())) for q in given.quality
    }


def hold_draws(
    set_name: str,
    name: str,
    got: Sequence[np.ndarray],
    reference: np.ndarray,
    trust: Trust,
    allowed: drawn_outputs.Allowed,
    problem: str = "",
) -> Compared:
    """Hold draws of an output that chance decides against the reference's, unless `problem` says enough.

    Without draws (a study that had no time, or of an earlier version) the two or three runs of the study
    stand for them, by their range alone.
    """
    quality = trust.quality
    total = got[0].size if got else reference.size
    if problem:
        return Compared(set_name, name, problem, total, total, reproducible=False)
    flat = [drawn_outputs.flatten(g) for g in got]
    known = trust.drawn or [drawn_outputs.flatten(reference)]
    if not trust.drawn and quality.low is not None and quality.high is not None:
        known = [*known, np.array([quality.low, quality.high])]
    fault = drawn_outputs.find_fault(known, flat, allowed)
    if fault is None:
        return Compared(set_name, name, "", 0, total, reproducible=False)
    return Compared(set_name, name, fault.problem, min(fault.elements, total), total,
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
