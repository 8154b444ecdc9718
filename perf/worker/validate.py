"""Outputs held against references, as facts: what differs, by how much, and where it is worst."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np

from perf.measure import flat_values, tensor_io
from perf.schema.cell import Cell, Comparison, Precision, Tolerance
from perf.schema.journal import Compared
from perf.worker import row_matching
from perf.worker.reference_trust import NO_TRUST, Trust, hold_draws, trust_of


class _Distances(TypedDict, total=False):
    max_abs: float | None
    max_rel: float | None
    relative_norm: float | None
    cosine: float | None


@dataclass(frozen=True)
class _Pair:
    """One output and its reference, as comparable values of the reference's ONNX type."""

    got: np.ndarray
    reference: np.ndarray
    onnx_type: int
    trust: Trust = NO_TRUST


def compare_set(
    set_name: str,
    got: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    cell: Cell,
    again: Sequence[Mapping[str, np.ndarray]] = (),
) -> tuple[Compared, ...]:
    """Hold every stored output of one set against what a cell's target gave.

    With Comparison.UNORDERED, rows that belong together are first put into the reference's order (rows.py).
    A target of reduced precision may give another float type than the reference; its values are compared.
    Of what chance decides, `again` are more of the target's runs on the same inputs.
    """
    any_float = cell.target.precision is not Precision.FP32
    tolerance, trust = cell.tolerance, trust_of(set_name, cell)
    by_chance = [n for n in expected if n in trust and not trust[n].quality.reproducible]
    runs = (got, *again)
    drawn = tuple(_hold_draws(set_name, n, runs, expected[n], trust[n], cell) for n in by_chance)
    expected = {n: r for n, r in expected.items() if n not in by_chance}
    problems = {n: _problem(got.get(n), r, any_float) for n, r in expected.items()}
    pairs = {
        n: _Pair(
            tensor_io.decode(got[n]),
            tensor_io.decode(r),
            tensor_io.onnx_type_of(r),
            trust.get(n, NO_TRUST),
        )
        for n, r in expected.items()
        if not problems[n]
    }
    if cell.model.comparison is Comparison.UNORDERED:
        pairs = _in_order(pairs, tolerance)
    told = [
        _facts(set_name, name, pairs[name], tolerance)
        if name in pairs
        else Compared(set_name, name, problems[name], reference.size, reference.size)
        for name, reference in expected.items()
    ]
    told = [_name_swap(c, pairs, tolerance) for c in told]
    return (*told, *drawn, *_too_long(set_name, got, expected))


def _hold_draws(
    set_name: str,
    name: str,
    runs: Sequence[Mapping[str, np.ndarray]],
    reference: np.ndarray,
    trust: Trust,
    cell: Cell,
) -> Compared:
    any_float = cell.target.precision is not Precision.FP32
    problem = _problem(runs[0].get(name), reference, any_float, trust.quality.shape_varies)
    draws = [got[name] for got in runs if name in got]
    onnx_type, kind = tensor_io.onnx_type_of(reference), tensor_io.decode(reference).dtype.kind

    def allow(values: np.ndarray) -> np.ndarray | float:
        exact = kind in "iub" and cell.tolerance.atol_scaled
        return 0.0 if exact else allowed_difference(values, onnx_type, cell.tolerance)

    return hold_draws(set_name, name, draws, reference, trust, allow, problem)


def _name_swap(told: Compared, pairs: Mapping[str, _Pair], tolerance: Tolerance) -> Compared:
    """A mismatched output with the name of the other one whose reference it equals, if there is one."""
    mine = pairs.get(told.output)
    if mine is None or not told.mismatched:
        return told
    for name, other in pairs.items():
        alike = mine.got.shape == other.reference.shape and mine.onnx_type == other.onnx_type
        if name != told.output and alike:
            swapped = replace(other, got=mine.got)
            found = _facts(told.set, name, swapped, tolerance)
            if not found.problem and not found.mismatched:
                return replace(told, fits=name)
    return told


def _too_long(
    set_name: str, got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> Iterator[Compared]:
    """A sequence with more elements than its reference, which alone would compare them all."""
    wanted, given = flat_values.count_elements(expected), flat_values.count_elements(got)
    for name, count in wanted.items():
        if given.get(name, 0) > count:
            problem = f"a sequence of {given[name]}, expected {count}"
            yield Compared(set_name, name, problem, count, count)


def compare_output(
    set_name: str,
    output_name: str,
    got: np.ndarray,
    expected: np.ndarray,
    tolerance: Tolerance,
) -> Compared:
    """Hold one output against its reference, element by element."""
    if problem := _problem(got, expected, any_float=False):
        return Compared(set_name, output_name, problem, expected.size, expected.size)
    pair = _Pair(
        tensor_io.decode(got), tensor_io.decode(expected), tensor_io.onnx_type_of(expected)
    )
    return _facts(set_name, output_name, pair, tolerance)


def _problem(
    got: np.ndarray | None, reference: np.ndarray, any_float: bool, any_shape: bool = False
) -> str:
    """Why two tensors cannot be compared element by element; "" where they can."""
    if got is None:
        return "no such output"
    if got.shape != reference.shape and not (any_shape and got.ndim == reference.ndim):
        return f"shape {list(got.shape)}, expected {list(reference.shape)}"
    given, wanted = tensor_io.onnx_type_of(got), tensor_io.onnx_type_of(reference)
    floats = given in tensor_io.MANTISSA_BITS and wanted in tensor_io.MANTISSA_BITS
    if given != wanted and not (any_float and floats):
        return f"type {_type_name(got)}, expected {_type_name(reference)}"
    return ""


def _type_name(array: np.ndarray) -> str:
    onnx_type = tensor_io.onnx_type_of(array)
    return tensor_io.NUMPY_OF.get(
        onnx_type, "string" if onnx_type == tensor_io.STRING else f"ONNX type {onnx_type}"
    )


def allowed_difference(
    reference: np.ndarray, onnx_type: int, tolerance: Tolerance
) -> np.ndarray | float:
    """The greatest |got - reference| that passes, an element each: atol + rtol * |reference|.

    With `atol_scaled` (the defaults) atol is in units of the reference's own scale, its largest magnitude, or
    1 where it is all zero; integers must then be equal; and an output stored in fewer bits than the tolerance
    asks for may be off by one unit in its last place. It is then never less than the type's smallest normal
    number, because engines may flush what is below to zero; in fp16 and fp8, whose subnormals they keep,
    than the smallest number there is.
    """
    if not tolerance.atol_scaled:
        return tolerance.atol + tolerance.rtol * _magnitude(reference)
    if reference.dtype.kind in "iub":
        return 0.0
    magnitude = _magnitude(reference)
    scale = float(magnitude.max(initial=0.0)) or 1.0
    unit = 2.0 ** -tensor_io.MANTISSA_BITS[onnx_type]
    asked = tolerance.atol * scale + tolerance.rtol * magnitude
    return np.maximum(asked, np.maximum(unit * magnitude, tensor_io.SMALLEST.get(onnx_type, 0.0)))


def _magnitude(array: np.ndarray) -> np.ndarray:
    """|x|, and 0 for what is not finite: such elements are held to be equal, not near."""
    magnitude: np.ndarray = np.where(np.isfinite(array), np.abs(array.astype(_wide(array))), 0.0)
    return magnitude


def _facts(set_name: str, name: str, pair: _Pair, tolerance: Tolerance) -> Compared:
    got, reference = pair.got, pair.reference
    total = reference.size
    if reference.dtype.kind in "OUS":
        unequal = got.astype(np.str_) != reference.astype(np.str_)
        return Compared(set_name, name, "", int(unequal.sum()), total, worst_index=_first(unequal))
    if not total:
        return Compared(set_name, name, "", 0, 0)
    both = np.isfinite(got) & np.isfinite(reference)
    finite = bool(np.all(both))  # most are, and cost less
    with np.errstate(all="ignore"):
        mine, theirs = got.astype(_wide(reference)), reference.astype(_wide(reference))
        difference = np.abs(mine - theirs)
        if not finite:
            difference = np.where(both, difference, 0.0)
        asked = allowed_difference(reference, pair.onnx_type, tolerance)
        excess = difference - pair.trust.widen(asked, reference)
        wrong = excess > 0
        if not finite:
            wrong |= (got != reference) & ~both & ~(np.isnan(got) & np.isnan(reference))
            excess = np.where(both, excess, -np.inf)
            mine, theirs = mine[both], theirs[both]
        return Compared(
            set_name,
            name,
            "" if finite else _special_values(got, reference),
            int(wrong.sum()),
            total,
            **_distances(np.ravel(mine), np.ravel(theirs)),
            **pair.trust.describe(got, reference, difference, asked, wrong),
            worst_index=_index(np.argmax(excess), reference.shape),
        )


def _special_values(got: np.ndarray, reference: np.ndarray) -> str:
    """Where one side is NaN or infinite and the other is not, in words; "" where they agree."""
    if got.dtype.kind not in "fc" or reference.dtype.kind not in "fc":
        return ""
    for what, mine, theirs in (
        ("NaN", np.isnan(got), np.isnan(reference)),
        ("infinite", np.isinf(got), np.isinf(reference)),
    ):
        if (mine != theirs).any():
            at = ",".join(map(str, _first(mine != theirs)))
            return f"{int(mine.sum())} elements are {what}, expected {int(theirs.sum())}; first at [{at}]"
    infinite = np.isinf(reference)
    if (got[infinite] != reference[infinite]).any():
        return "infinite elements have the wrong sign"
    return ""


def _distances(got: np.ndarray, reference: np.ndarray) -> _Distances:
    """Greatest absolute and relative difference, ‖got - ref‖ / ‖ref‖, and the cosine, of finite elements."""
    if not reference.size:
        return {}
    difference = np.abs(got - reference)
    nonzero = reference != 0
    norm, other = float(np.linalg.norm(reference)), float(np.linalg.norm(got))
    relative = difference[nonzero] / np.abs(reference[nonzero])
    cosine = np.real(np.vdot(got, reference)) / (norm * other) if norm and other else np.nan
    return {
        "max_abs": _finite(difference.max()),
        "max_rel": _finite(relative.max()) if relative.size else None,
        "relative_norm": _finite(np.linalg.norm(difference) / norm) if norm else None,
        "cosine": _finite(cosine),
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _in_order(pairs: Mapping[str, _Pair], tolerance: Tolerance) -> dict[str, _Pair]:
    """The same pairs, with the rows of `got` put into the order of the reference's."""
    out = dict(pairs)
    shapes = {n: p.reference.shape for n, p in pairs.items()}
    axis = row_matching.row_axis(shapes)
    for names in row_matching.group_outputs(shapes, axis):
        columns = [_column(pairs[n], axis, tolerance) for n in names]
        order = row_matching.match_rows(columns)
        for n in names:
            out[n] = replace(pairs[n], got=np.take(pairs[n].got, order, axis))
    return out


def _column(pair: _Pair, axis: int, tolerance: Tolerance) -> row_matching.OutputColumn:
    limit = np.broadcast_to(_limit(pair, tolerance), pair.reference.shape)
    return row_matching.OutputColumn(
        *(row_matching.by_row(x, axis) for x in (pair.got, pair.reference, limit))
    )


def _limit(pair: _Pair, tolerance: Tolerance) -> np.ndarray | float:
    return (
        0.0
        if pair.reference.dtype.kind in "OUS"
        else pair.trust.widen(
            allowed_difference(pair.reference, pair.onnx_type, tolerance), pair.reference
        )
    )


def _wide(array: np.ndarray) -> type[np.complex128] | type[np.float64]:
    return np.complex128 if array.dtype.kind == "c" else np.float64


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return _index(np.argmax(mask), mask.shape) if mask.any() else ()


def _index(flat: np.intp, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))
