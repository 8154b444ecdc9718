import pytest

from perf.request.tolerances import default_tolerance, override_tolerance
from perf.schema.cell import Precision, Tolerance


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("tf32", [False, True])
def test_no_default_reaches_one_per_cent_of_the_range_and_of_bf16_a_thirtieth(
    precision: Precision, tf32: bool
) -> None:
    default = default_tolerance(precision, tf32=tf32)
    most = 1 / 30 if "bf16" in precision.value else 1e-2
    assert 0 < default.rtol + default.atol < most
    assert default.percent_mismatch == 0
    assert default.atol_scaled


def test_a_format_with_fewer_digits_has_as_many_of_its_roundoffs() -> None:
    for precision, roundoff in ((Precision.FP16, 2**-11), (Precision.BF16, 2**-8)):
        default = default_tolerance(precision)
        assert 2 <= default.rtol / roundoff < 2.1
        assert 6 <= default.atol / roundoff < 18


def test_fp32_is_tighter_than_tf32_and_tf32_than_fp16() -> None:
    fp32 = default_tolerance(Precision.FP32)
    tf32 = default_tolerance(Precision.FP32, tf32=True)
    fp16 = default_tolerance(Precision.FP16, tf32=True)
    assert fp32.atol < tf32.atol < fp16.atol
    assert default_tolerance(Precision.FP16) == fp16


def test_what_a_user_gives_is_meant_literally() -> None:
    base = Tolerance(1e-3, 8e-3, 0.0, atol_scaled=True)
    assert override_tolerance(base, None, None, None) == base
    assert override_tolerance(base, 0.1, None, None) == Tolerance(0.1, 8e-3, 0.0, atol_scaled=True)
    assert override_tolerance(base, None, 0.5, None) == Tolerance(1e-3, 0.5, 0.0)
    assert override_tolerance(base, 0.0, 0.0, 5.0) == Tolerance(0.0, 0.0, 5.0)
