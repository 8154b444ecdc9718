"""A model's inputs: their shapes resolved, their values given by an override or drawn from a seed."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from onnx import helper

from perf.conversion.data_sets import Tensors
from perf.conversion.errors import BadModel, CannotFeed, UserError
from perf.conversion.signature import Value
from perf.measure.tensor_io import CODED_BITS, MANTISSA_BITS, NUMPY_OF, STRING, as_coded
from perf.schema.cell import InputOverride

Array = np.ndarray
Shape = tuple[int, ...]
DRAWABLE = {*NUMPY_OF, *CODED_BITS, STRING}


@dataclass(frozen=True)
class Override(InputOverride):
    """What a user says of an input.

    `pattern` "text_lines" draws rows of dark strokes on a light page instead of noise, for models
    that answer noise with nothing; it shapes test sets only and is not part of a row.
    """

    pattern: str | None = None


@dataclass(frozen=True)
class Overrides:
    """Overrides by input name, and sizes for symbols, which hold wherever the symbol stands."""

    inputs: Mapping[str, Override] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)


def require_drawable(value: Value) -> None:
    """Refuse an input that cannot be drawn; raises CannotFeed."""
    if value.optional or value.onnx_type not in DRAWABLE:
        what = value.kind if value.optional else value.type_name
        raise CannotFeed(
            f"input {value.name!r} is a {what}: random data cannot be drawn; use -i zoo"
        )


def require_fit(value: Value, shape: Shape) -> None:
    """Refuse a shape that the model does not take; raises BadModel."""
    if not value.fits(shape):
        raise BadModel(
            f"input {value.name!r} is {value.shape_text} in the model, "
            f"and {'x'.join(map(str, shape)) or 'a scalar'} is asked for"
        )


def resolve_shapes(values: Sequence[Value], overrides: Overrides) -> dict[str, Shape]:
    """Every input's concrete shape.

    A dim that no override gives is 1 if it is a batch by name, or first and unnamed. UserError
    lists every other open dim with the option that sets it, and overrides that fit no input.
    """
    names = {v.name for v in values}
    if unknown := sorted(set(overrides.inputs) - names):
        raise UserError(
            f"no input is called {', '.join(map(repr, unknown))}; the model's inputs are "
            f"{', '.join(map(repr, sorted(names)))}"
        )
    shapes: dict[str, Shape] = {}
    open_inputs: list[str] = []
    for value in values:
        require_drawable(value)
        shape = overrides.inputs.get(value.name, Override()).shape
        if shape is None:
            sizes = [_size(dim, at, overrides.symbols) for at, dim in enumerate(value.dims or ())]
            if value.dims is None or None in sizes:
                open_inputs.append(_shape_wanted(value))
            shape = tuple(size or 0 for size in sizes)
        require_fit(value, shape)
        shapes[value.name] = shape
    if open_inputs:
        raise UserError(f"dynamic dims need sizes: {'; '.join(open_inputs)}")
    return shapes


def fill_inputs(
    values: Sequence[Value], shapes: Mapping[str, Shape], overrides: Overrides, seed: int
) -> Tensors:
    """Seeded values for every input: floats in [0, 1), integers in {0, 1}, unless overridden.

    Integers stay that small by default because most are ids or masks, whose table may be short.
    The values depend on the seed, the input's name and its shape, on nothing else.
    """
    fed = {}
    for value in values:
        override, shape = overrides.inputs.get(value.name, Override()), shapes[value.name]
        rng = np.random.default_rng([seed, zlib.crc32(value.name.encode())])
        if override.range is None and _dtype(value).kind in "iu":
            override = replace(override, range=(0, 1))
        if override.pattern == "text_lines":
            fed[value.name] = _text_lines(shape, override.range or (0, 1), rng)
        else:
            fed[value.name] = draw(value, shape, override, rng)
    return fed


def draw(
    value: Value, shape: Shape, override: InputOverride, rng: Generator, like: Array | None = None
) -> Array:
    """One input's values: the override's, or random ones in its range.

    Without a range floats are in [0, 1), integers in [0, the largest of `like`], below 0 from the
    smallest there. Raises CannotFeed for what only the user can say, BadModel for what does not fit.
    """
    coded_bits, dtype = CODED_BITS.get(value.onnx_type), _dtype(value)
    drawn: Array
    if override.value is not None:
        try:
            drawn = np.full(shape, override.value, dtype)
        except ValueError as e:
            raise BadModel(f"input {value.name!r} is {value.type_name}: {e}") from e
    elif value.onnx_type == STRING:
        if like is None or not like.size:
            raise CannotFeed(
                f"input {value.name!r} holds strings, and none are stored to draw from: give its value "
                f"in the model list, or --value {value.name}=TEXT to setup_models.add"
            )
        drawn = rng.choice(like.ravel(), shape)
    elif dtype.kind == "b":
        drawn = rng.integers(0, 2, shape).astype(bool)
    elif value.onnx_type in MANTISSA_BITS:
        low, high = override.range or (0.0, 1.0)
        drawn = np.asarray(low + (high - low) * rng.random(shape))
        if dtype.kind == "c":
            drawn = drawn + 1j * rng.random(shape)
        drawn = np.asarray((drawn.astype(np.float32) if coded_bits else drawn).astype(dtype))
    elif coded_bits:  # every code of the small integers
        return as_coded(rng.integers(0, 1 << coded_bits, shape, dtype=np.uint8), value.onnx_type)
    else:
        bounds = _integer_bounds(value, override, like)
        drawn = np.asarray(rng.integers(*bounds, shape, dtype=dtype, endpoint=True))
    if coded_bits:
        carrier = np.uint16 if coded_bits == 16 else np.uint8
        return as_coded(drawn.view(carrier), value.onnx_type)
    return drawn


def list_entries(
    values: Sequence[Value], shapes: Mapping[str, Shape], overrides: Overrides
) -> dict[str, dict[str, Any]]:
    """The `inputs` of a model_list.json row: what was overridden, and every open shape as fed."""
    found = {}
    for value in values:
        override = overrides.inputs.get(value.name, Override())
        entry = {k: v for k, v in vars(override).items() if v is not None and k != "pattern"}
        if value.dims is None or any(not isinstance(d, int) for d in value.dims):
            entry["shape"] = shapes[value.name]
        if entry:
            found[value.name] = entry
    return found


def _dtype(value: Value) -> np.dtype:
    """numpy's type, or the one of ml_dtypes for what numpy lacks."""
    dtype: np.dtype = helper.tensor_dtype_to_np_dtype(value.onnx_type)
    return dtype


def _integer_bounds(value: Value, override: InputOverride, like: Array | None) -> tuple[int, int]:
    if override.range is not None:
        low, high = (int(x) for x in override.range)
        limits = np.iinfo(_dtype(value))
        if not limits.min <= low <= high <= limits.max:
            raise BadModel(
                f"input {value.name!r}: range {low}…{high} does not fit {value.type_name}"
            )
        return low, high
    if like is None or not like.size:
        raise CannotFeed(
            f"input {value.name!r} holds {value.type_name} and no data are stored: give its range "
            f'in the model list, as in "inputs": {{"{value.name}": {{"range": [0, 1]}}}}'
        )
    return (0 if like.max() >= 0 else int(like.min())), int(like.max())


def _text_lines(shape: Shape, bounds: tuple[float, float], rng: Generator) -> Array:
    """Float pages [..., height, width] of the high value, with lines of random strokes of the low one."""
    height, width = shape[-2:]
    cell = max(2, height // 80)
    page = np.full((height, width), bounds[1], np.float32)
    columns = max(1, width // cell - 20)
    for top in range(5 * cell, height - 5 * cell + 1, 10 * cell):
        strokes = rng.integers(0, 2, (5, columns)).repeat(cell, 0).repeat(cell, 1)
        line = page[top : top + 5 * cell, 10 * cell : 10 * cell + columns * cell]
        line[:] = np.where(strokes[: line.shape[0], : line.shape[1]], *bounds)
    return np.broadcast_to(page, shape)


def _size(dim: int | str | None, at: int, symbols: Mapping[str, int]) -> int | None:
    if isinstance(dim, int):
        return dim
    name = dim or ""
    batch = "batch" in name.lower() or (at == 0 and name.lower() in {"", "n", "b"})
    return symbols.get(name, 1 if batch else None)


def _shape_wanted(value: Value) -> str:
    if value.dims is None:
        return f"{value.name} (rank unknown): --shape {value.name}=…"
    template = "x".join(
        str(dim) if isinstance(dim, int) else f"<{dim or '?'}>" for dim in value.dims
    )
    return f"{value.name} {value.shape_text}: --shape {value.name}={template}"
