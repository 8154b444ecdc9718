"""How far outputs may be from the reference when nobody says, by precision and math mode.

|got - reference| <= atol * max|reference| + rtol * |reference|, for every element. In every mode atol +
rtol stays below 1e-2, so nothing that scales an output by 1 % or moves one element by 1 % of the output's
range passes. Measured on the offline set, as the worst element's share of the range: fp32 on OpenVINO 4e-6;
fp16 (half a unit is 5e-4; the CPU EP on converted models) mostly 1e-3 … 5e-3, at worst 8.3e-3, ResNet-50 on
noise; bf16 (OpenVINO's bf16 hint) 4e-3 … 2.3e-2, so most of the set fails in bf16: a looser default could
not tell that from a 1 % scale, and such a model's own tolerance belongs in the model list. TF32 is not
measured.
"""

from dataclasses import replace

from perf.schema.cell import Precision, Tolerance

MOST_RTOL, MOST_ATOL = 1.0, 1e6  # from there on a tolerance checks nothing

_REDUCED = Tolerance(rtol=1e-3, atol=8.5e-3, atol_scaled=True)
_TF32 = Tolerance(rtol=1e-3, atol=5e-3, atol_scaled=True)
_FP32 = Tolerance(rtol=1e-4, atol=1e-4, atol_scaled=True)


def default_tolerance(precision: Precision, *, tf32: bool = False) -> Tolerance:
    """The tolerance of a precision; `tf32` where fp32 products may be rounded to 11 bits."""
    if precision not in (Precision.FP32, Precision.TF32):
        return _REDUCED
    return _TF32 if tf32 or precision is Precision.TF32 else _FP32


def override_tolerance(
    base: Tolerance, rtol: float | None, atol: float | None, percent_mismatch: float | None
) -> Tolerance:
    """The tolerance with what a user gave in its place; an atol that was given is meant literally."""
    out = base if rtol is None else replace(base, rtol=rtol)
    out = out if atol is None else replace(out, atol=atol, atol_scaled=False)
    return out if percent_mismatch is None else replace(out, percent_mismatch=percent_mismatch)
