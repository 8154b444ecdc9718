from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto

from perf.measure import tensor_io
from perf.request import tolerances
from perf.schema.cell import Cell, Comparison, Precision, Tolerance
from perf.schema.fold import Expectation, is_wrong
from perf.schema.journal import Compared
from perf.worker import validate
from tests.inprocess.asking import cell, f32, model_file

MODES = {
    "fp32": (Precision.FP32, False),
    "tf32": (Precision.FP32, True),
    "fp16": (Precision.FP16, False),
    "bf16": (Precision.BF16, False),
    "int8": (Precision.INT8, False),
}
RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(50), 4).astype(np.float32)
UNIT = RNG.uniform(-1, 1, (6, 40)).astype(np.float32)


def asking(mode: str, comparison: Comparison = Comparison.ELEMENTWISE) -> Cell:
    precision, tf32 = MODES[mode]
    tolerance = tolerances.default_tolerance(precision, tf32=tf32)
    model = model_file(Path("/nowhere/m"), comparison=comparison)
    return cell(model, precision=precision, tf32=tf32, tolerance=tolerance)


def wrong(compared: tuple[Compared, ...]) -> bool:
    return any(is_wrong(c, Expectation()) for c in compared)


def differs(got: np.ndarray, reference: np.ndarray, mode: str = "fp32") -> bool:
    """Whether one output is found wrong by default."""
    return wrong(validate.compare_set("s", {"a": got}, {"a": reference}, asking(mode)))


def compared(got: object, reference: object, rtol: float = 0, atol: float = 0) -> Compared:
    tolerance = Tolerance(rtol, atol)
    return validate.compare_output("s", "o", np.asarray(got), np.asarray(reference), tolerance)


CAUGHT = {mode: 1e-2 for mode in MODES} | {"bf16": 3.2e-2}  # a share that no default lets by
FAULTS: dict[str, Callable[[np.ndarray, np.ndarray, float], dict[str, np.ndarray]]] = {
    "all zero": lambda a, b, _: {"a": np.zeros_like(a), "b": b},
    "swapped": lambda a, b, _: {"a": b, "b": a},
    "a dropped row": lambda a, b, _: {"a": a[1:], "b": b},
    "one element off": lambda a, b, share: {"a": off(a, share), "b": b},
    "scaled": lambda a, b, share: {"a": a * f32(1 + share), "b": b},
    "an fp16 overflow": lambda a, b, _: {"a": overflown(a), "b": b},
    "a missing output": lambda a, b, _: {"b": b},
}


def off(array: np.ndarray, by: float) -> np.ndarray:
    out = array.copy()
    out.flat[array.size // 2] += by
    return out


def overflown(array: np.ndarray) -> np.ndarray:
    """What becomes of a value that fp16 cannot hold on its way."""
    big = array.copy()
    big.flat[0] = 70000.0
    with np.errstate(over="ignore"):
        return big.astype(np.float16).astype(array.dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reference", [UNIT, PROBABILITIES], ids=["unit range", "probabilities"])
def test_every_fault_fails_by_default(mode: str, fault: str, reference: np.ndarray) -> None:
    a, b = reference, reference[::-1].copy()
    got = FAULTS[fault](a, b, CAUGHT[mode])
    assert wrong(validate.compare_set("s", got, {"a": a, "b": b}, asking(mode)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_passes_by_default_at_any_scale(mode: str, scale: float) -> None:
    kept = {"fp32": 2**-18, "tf32": 2**-10, "fp16": 2**-10, "bf16": 2**-8, "int8": 2**-8}[mode]
    a = UNIT * f32(scale)
    rounded = (a * (1 + RNG.uniform(-kept, kept, a.shape))).astype(np.float32)
    assert not differs(rounded, a, mode)


@pytest.mark.parametrize("mode", MODES)
@given(reference=hnp.arrays(np.float32, (8,), elements=st.floats(-1e4, 1e4, width=32)))
def test_no_default_lets_a_scaled_output_by(mode: str, reference: np.ndarray) -> None:
    reference[0] = np.abs(reference).max() + 1
    wide = reference.astype(np.float64)
    assert differs(wide * (1 + CAUGHT[mode]), wide, mode)


def test_a_users_tolerance_is_numpys() -> None:
    reference = RNG.normal(size=1000)
    got = reference + RNG.normal(size=1000) * 1e-2
    for rtol, atol in ((0.0, 1e-2), (1e-2, 0.0), (5e-3, 5e-3)):
        facts = compared(got, reference, rtol, atol)
        assert facts.mismatched == int((~np.isclose(got, reference, rtol, atol)).sum())
        assert facts.total == 1000


def test_facts_are_those_of_numpy() -> None:
    reference = RNG.normal(size=(7, 5)).astype(np.float32)
    got = reference + RNG.normal(size=(7, 5)).astype(np.float32) * f32(0.1)
    facts = compared(got, reference)
    wide, theirs = reference.astype(float), got.astype(float)
    difference = np.abs(theirs - wide)
    assert facts.max_abs == pytest.approx(difference.max())
    assert facts.max_rel == pytest.approx((difference / np.abs(wide)).max())
    assert facts.relative_norm == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(wide))
    cosine = (wide * theirs).sum() / np.linalg.norm(wide) / np.linalg.norm(theirs)
    assert facts.cosine == pytest.approx(cosine)
    assert facts.worst_index == np.unravel_index(difference.argmax(), difference.shape)


@pytest.mark.parametrize(
    ("got", "reference", "says"),
    [
        ([1, np.nan], [1, 2], "1 elements are NaN, expected 0; first at [1]"),
        ([1, 2], [1, np.nan], "0 elements are NaN, expected 1; first at [1]"),
        ([np.inf, 2], [1, 2], "1 elements are infinite, expected 0; first at [0]"),
        ([-np.inf, 2], [np.inf, 2], "wrong sign"),
    ],
)
def test_nan_and_inf_places_must_agree(got: object, reference: object, says: str) -> None:
    facts = compared(f32(got), f32(reference), 1, 1)
    assert says in facts.problem
    assert facts.mismatched >= 1
    facts = compared(f32(reference), f32(reference))
    assert (facts.problem, facts.mismatched, facts.max_abs) == ("", 0, 0.0)


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (np.zeros((2, 3), np.float64), "type float64, expected float32"),
        (np.zeros((2, 3), np.int32), "type int32, expected float32"),
        (np.zeros((3, 2), np.float32), "shape [3, 2], expected [2, 3]"),
        (np.zeros(6, np.float32), "shape [6], expected [2, 3]"),
    ],
)
def test_shape_and_type_come_before_values(got: np.ndarray, says: str) -> None:
    facts = compared(got, np.zeros((2, 3), np.float32), 9, 9)
    assert facts.problem == says
    assert is_wrong(facts, Expectation())
    assert differs(UNIT.astype(np.float16), UNIT)
    assert not differs(UNIT.astype(np.float16), UNIT, "fp16")  # as a reduced target may answer


def test_integers_strings_and_booleans_must_be_equal_by_default() -> None:
    for reference, other in (
        (np.array([30000, 5]), np.array([30001, 5])),
        (np.array([True, False]), np.array([True, True])),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
    ):
        assert not differs(reference.copy(), reference, "fp16")
        assert differs(other, reference, "fp16")
        assert compared(other, reference).mismatched == 1


def test_an_output_stored_in_few_bits_may_be_off_by_its_last() -> None:
    halves = [np.array(value, np.float16) for value in (1, 1 + 2**-10, 1 + 2**-9)]
    codes = [np.array(code, np.uint16) for code in (0x3F80, 0x3F81, 0x3F82)]
    bf16 = [tensor_io.as_coded(code, TensorProto.BFLOAT16) for code in codes]
    for one, next_up, third in (halves, bf16):
        assert not differs(next_up, one)
        assert differs(third, one)


def test_an_all_zero_reference_has_scale_one() -> None:
    zero = np.zeros(5, np.float32)
    assert not differs(zero + f32(1e-5), zero)
    assert differs(off(zero, 1e-2), zero, "fp16")


TINY = {"float32": 2.0**-126, "float64": 2.0**-1022, "float16": 2.0**-24}


@pytest.mark.parametrize("dtype", TINY)
def test_an_engine_that_flushes_subnormals_to_zero_is_not_wrong_for_it(dtype: str) -> None:
    """fp16's own are kept by engines: there only the smallest number may be lost."""
    below = np.array([0.9, -0.4, 0.1], dtype) * np.array(TINY[dtype], dtype)
    assert not differs(np.zeros_like(below), below)
    assert not differs(below, np.zeros_like(below))
    above = np.array([5, -2, 2], dtype) * np.array(TINY[dtype], dtype)
    assert differs(np.zeros_like(above), above)
    assert differs(above[::-1].copy(), above)
    assert compared(np.zeros_like(above), above, 1e-4, 0).mismatched == 3  # as a user says it


@pytest.mark.parametrize("onnx_type", [16, 17, 18, 19, 20, 23])
def test_small_types_may_be_off_by_their_smallest_number(onnx_type: int) -> None:
    zero, smallest, third = (
        tensor_io.as_coded(np.array([code], np.uint16 if onnx_type == 16 else np.uint8), onnx_type)
        for code in (0, 1, 3)
    )
    assert not differs(zero, smallest)
    assert not differs(smallest, zero)
    assert differs(zero, third) is (
        onnx_type != 16
    )  # bf16 has fp32's exponents, and so its subnormals


def test_outputs_of_any_size_are_compared() -> None:
    for got, reference, expected in (
        (np.zeros((0, 4)), np.zeros((0, 4)), (0, 0, None, "")),
        (f32(1), f32(2), (1, 1, 1.0, "")),
        (np.array([0, 255], np.uint8), np.array([3, 0], np.uint8), (2, 2, 255.0, "")),  # no wrap
    ):
        facts = compared(got, reference, 0, 0.5)
        assert (facts.total, facts.mismatched, facts.max_abs, facts.problem) == expected
    assert compared(f32(1), f32(2)).worst_index == ()


def test_a_sequence_longer_than_its_reference_is_wrong_and_more_outputs_are_not() -> None:
    got = {"t[0]": UNIT, "t[1]": UNIT}
    facts = validate.compare_set("s", {**got, "more": UNIT}, got, asking("fp32"))
    assert [f.output for f in facts] == ["t[0]", "t[1]"]
    assert not wrong(facts)
    facts = validate.compare_set("s", got, {"t[0]": UNIT}, asking("fp32"))
    assert wrong(facts)
    found = [(f.output, f.problem) for f in facts]
    assert found == [("t[0]", ""), ("t", "a sequence of 2, expected 1")]


def test_order_matters_unless_the_model_list_says_so() -> None:
    got = UNIT[RNG.permutation(len(UNIT))]
    assert differs(got, UNIT)
    unordered = asking("fp32", Comparison.UNORDERED)
    assert not wrong(validate.compare_set("s", {"a": got}, {"a": UNIT}, unordered))
