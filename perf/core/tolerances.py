"""How far outputs may be from the reference when nobody says: by precision and math mode, from arithmetic."""

from collections.abc import Mapping
from dataclasses import replace

from perf.core.cell import Precision, Tolerance

_DEFAULTS = {
    Precision.FP32: Tolerance(rtol=1e-4, atol=1e-4, atol_scaled=True),
    Precision.FP16: Tolerance(rtol=1e-3, atol=8e-3, atol_scaled=True),
    Precision.BF16: Tolerance(rtol=1e-3, atol=8e-3, atol_scaled=True),
    Precision.INT8: Tolerance(rtol=1e-3, atol=8e-3, atol_scaled=True),
}
_TF32 = Tolerance(rtol=1e-3, atol=4e-3, atol_scaled=True)


def default_tolerance(precision: Precision, *, tf32: bool = False) -> Tolerance:
    """The tolerance of a precision; `tf32` where fp32 products may be rounded to 10 bits."""
    return _TF32 if tf32 and precision is Precision.FP32 else _DEFAULTS[precision]
