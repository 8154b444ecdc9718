"""How far outputs may be from the reference when nobody says, by precision and math mode.

|got - reference| <= atol * max|reference| + rtol * |reference|, for every element. A format's tolerance is
counted in its unit roundoff u: half the distance from 1 to the next number. Measured on the offline set, as
the worst element's share of the range: fp32 on OpenVINO 4e-6; fp16 (u = 4.9e-4; the CPU EP on converted
models) mostly 1e-3 … 5e-3, 2 to 10 u, at worst 8.3e-3, ResNet-50 on noise; bf16 (u = 3.9e-3; OpenVINO's bf16
hint) 4e-3 … 2.3e-2, 1 to 6 u; by PyTorch on a CPU DenseNet201 4.6e-3 and a CRNN 1.1e-2.

In every mode but bf16 atol + rtol stays below 1e-2, so nothing that scales an output by 1 % or moves one
element by 1 % of the output's range passes. bf16 holds 2.4 digits: 1 % is 2.6 u, which a right engine is off
by, so there the same is caught from 3.2 % on. TF32 is not measured.
"""

from dataclasses import replace
from typing import assert_never

from perf.schema.cell import Precision, Tolerance

MOST_RTOL, MOST_ATOL = 1.0, 1e6  # from there on a tolerance checks nothing

_BF16_ROUNDOFF = 2.0**-8
_BF16 = Tolerance(rtol=2 * _BF16_ROUNDOFF, atol=6 * _BF16_ROUNDOFF, atol_scaled=True)
_REDUCED = Tolerance(rtol=1e-3, atol=8.5e-3, atol_scaled=True)  # 2 and 17 of fp16's roundoff
_TF32 = Tolerance(rtol=1e-3, atol=5e-3, atol_scaled=True)
_FP32 = Tolerance(rtol=1e-4, atol=1e-4, atol_scaled=True)


def default_tolerance(precision: Precision, *, tf32: bool = False) -> Tolerance:
    """The tolerance of a precision; `tf32` where fp32 products may be rounded to 11 bits."""
    match precision:
        case Precision.FP32 | Precision.TF32:
            return _TF32 if tf32 or precision is Precision.TF32 else _FP32
        case Precision.BF16 | Precision.FP32_BF16 | Precision.FP32_BF16_FP16:
            return _BF16
        case Precision.FP16 | Precision.FP32_FP16 | Precision.INT8:
            return _REDUCED
        case _:
            assert_never(precision)


def override_tolerance(
    base: Tolerance, rtol: float | None, atol: float | None, percent_mismatch: float | None
) -> Tolerance:
    """The tolerance with what a user gave in its place; an atol that was given is meant literally."""
    out = base if rtol is None else replace(base, rtol=rtol)
    out = out if atol is None else replace(out, atol=atol, atol_scaled=False)
    return out if percent_mismatch is None else replace(out, percent_mismatch=percent_mismatch)
