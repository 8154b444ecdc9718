"""Seeded random inputs, drawn only from ranges that the stored data or an override vouch for."""

from collections.abc import Mapping, Sequence

import numpy as np

from perf.backends import Unsupported
from perf.measure import tensor_io
from perf.schema.cell import InputOverride
from perf.worker.model_signature import BadModel, Value

Shape = tuple[int, ...]


def draw_inputs(
    values: Sequence[Value],
    stored: Mapping[str, np.ndarray],
    overrides: Mapping[str, InputOverride],
    seed: int,
    number: int,
) -> dict[str, np.ndarray]:
    """Set `number` of a run's random feeds; the same seed gives the same bytes.

    `stored` is set 0, if there is one: its shapes and its integers' range are the model's own.
    Raises Unsupported for what only the user can say, BadModel for an override that does not fit.
    """
    out = {}
    for place, value in enumerate(values):
        rng = np.random.default_rng((seed, number, place))
        override = overrides.get(value.name, InputOverride())
        out[value.name] = _drawn(value, override, stored.get(value.name), rng)
    return out


def _drawn(
    value: Value, override: InputOverride, like: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    if value.kind != "tensor":
        raise Unsupported(
            f"input {value.name!r} is a {value.kind}: random data cannot be drawn; use -i zoo"
        )
    shape = _shape(value, like) if override.shape is None else override.shape
    if not value.fits(shape):
        raise BadModel(
            f"input {value.name!r} is {value.shape_text} in the model, "
            f"and {'x'.join(map(str, shape)) or 'a scalar'} is asked for"
        )
    if value.onnx_type == tensor_io.STRING:
        if like is None or not like.size:
            raise Unsupported(f"input {value.name!r} holds strings: none are stored to draw from")
        return rng.choice(like.ravel(), shape)
    if value.onnx_type in tensor_io.CODED_BITS:
        return _coded(value, override, shape, rng)
    return _filled(value, override, like, shape, rng)


def _shape(value: Value, like: np.ndarray | None) -> Shape:
    if like is not None:
        return like.shape
    dims = value.dims or ()
    fixed = tuple(d for d in dims if isinstance(d, int))
    if value.dims is None or len(fixed) != len(dims):
        spelled = "x".join(str(d) if isinstance(d, int) else "1" for d in dims) or "1x3x224x224"
        raise Unsupported(
            f"input {value.name!r} is {value.shape_text} and no data are stored: give its shape, "
            f"as in --shape {value.name}={spelled}"
        )
    return fixed


def _filled(
    value: Value,
    override: InputOverride,
    like: np.ndarray | None,
    shape: Shape,
    rng: np.random.Generator,
) -> np.ndarray:
    dtype = np.dtype(tensor_io.NUMPY_OF[value.onnx_type])
    if override.value is not None:
        return np.full(shape, override.value, dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        low, high = _integers(value, override, like)
        return rng.integers(low, high, shape, dtype=dtype, endpoint=True)
    low_f, high_f = override.range or (0.0, 1.0)
    drawn = low_f + (high_f - low_f) * rng.random(shape)
    if dtype.kind == "c":
        drawn = drawn + 1j * rng.random(shape)
    return drawn.astype(dtype)


def _integers(value: Value, override: InputOverride, like: np.ndarray | None) -> tuple[int, int]:
    """The model list's range; else [0, the largest stored], below 0 from the smallest stored."""
    if override.range is not None:
        low, high = (int(x) for x in override.range)
        limits = np.iinfo(tensor_io.NUMPY_OF[value.onnx_type])
        if not limits.min <= low <= high <= limits.max:
            raise BadModel(
                f"input {value.name!r}: range {low}…{high} does not fit {value.type_name}"
            )
        return low, high
    if like is not None and like.size:
        high = int(like.max())
        return (0 if high >= 0 else int(like.min())), high
    raise Unsupported(
        f"input {value.name!r} holds {value.type_name} and no data are stored: give its range "
        f'in the model list, as in "inputs": {{"{value.name}": {{"range": [0, 1]}}}}'
    )


def _coded(
    value: Value, override: InputOverride, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    """Types that numpy lacks: the floats nearest to uniform values, and every code of the small integers."""
    import onnx

    bits = tensor_io.CODED_BITS[value.onnx_type]
    carrier = np.uint16 if bits == 16 else np.uint8
    if value.onnx_type in tensor_io.MANTISSA_BITS:
        low, high = override.range or (0.0, 1.0)
        drawn = (low + (high - low) * rng.random(shape)).astype(np.float32)
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.onnx_type)
        return tensor_io.as_coded(np.asarray(drawn.astype(kind)).view(carrier), value.onnx_type)
    return tensor_io.as_coded(rng.integers(0, 1 << bits, shape, dtype=carrier), value.onnx_type)
