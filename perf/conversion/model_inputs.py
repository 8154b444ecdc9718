"""A model's inputs: their shapes resolved, their values given by an override or drawn from a seed."""

import re
import shlex
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator

from perf.conversion.data_sets import Tensors
from perf.conversion.errors import BadModel, CannotFeed, UserError
from perf.conversion.signature import Value
from perf.conversion.typed_values import dtype_of, fixed_range, fixed_value
from perf.conversion.value_protos import carry
from perf.measure.tensor_io import CODED_BITS, MANTISSA_BITS, NUMPY_OF, STRING, as_coded
from perf.schema.cell import InputOverride, base_name

Array = np.ndarray
Shape: TypeAlias = tuple[int, ...]
BatchProof: TypeAlias = Callable[[Mapping[str, Shape], Mapping[str, int]], bool]
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


class OpenDims(UserError):
    """Inputs whose shape only the user can say; `words` are what --shape may be given to try some."""

    def __init__(self, values: Sequence[Value], shapes: Mapping[str, Shape]) -> None:
        self.words = tuple(f"{v.name}={spell_shape(shapes[v.name])}" for v in values)
        self.what = "dynamic dims need sizes: " + ", ".join(
            f"{v.name} {v.shape_text}" for v in values
        )
        super().__init__(f"{self.what}; for example --shape {shlex.join(self.words)}")


def spell_shape(shape: Shape) -> str:
    """As --shape takes it: 1x3x224x224."""
    return "x".join(map(str, shape))


def require_drawable(value: Value) -> None:
    """Refuse an input that cannot be drawn; raises CannotFeed."""
    if value.onnx_type not in DRAWABLE:
        raise CannotFeed(
            f"input {value.name!r} is a {value.type_name}: random data cannot be drawn; use -i zoo"
        )


def require_fit(value: Value, shape: Shape) -> None:
    """Refuse a shape that the model does not take; raises BadModel."""
    if not value.fits(shape):
        raise BadModel(
            f"input {value.name!r} is {value.shape_text} in the model, "
            f"and {spell_shape(shape) or 'a scalar'} is asked for"
        )


def resolve_shapes(
    values: Sequence[Value],
    overrides: Overrides,
    like: Mapping[str, Array] = {},
    prove_batch: BatchProof = lambda _shapes, _axes: False,
) -> dict[str, Shape]:
    """Every input's concrete shape: the override's, that of `like`, or the declared one.

    A dim that none of them gives is 1 if it is a batch by name, or first and unnamed; or if it is first, no
    other is open, and `prove_batch` finds it to be one (it is given all shapes, and for the inputs that seem
    to have a batch its axis). Raises OpenDims for others, UserError for overrides that fit no input.
    """
    names = {v.name for v in values}
    if unknown := sorted(set(overrides.inputs) - names):
        raise UserError(
            f"no input is called {', '.join(map(repr, unknown))}; the model's inputs are "
            f"{', '.join(map(repr, sorted(names)))}"
        )
    shapes: dict[str, Shape] = {}
    first_open, wanted, axes = dict[str, Shape](), dict[str, Shape](), dict[str, int]()
    for value in values:
        require_drawable(value)
        shape = overrides.inputs.get(value.name, Override()).shape
        stored = find_parts(value, like)
        if shape is None and stored:
            shape = next(iter(stored.values())).shape
        if value.kind == "map":  # of scalars, as engines have it
            shape = ()
        if shape is None:
            sizes = [_size(dim, at, overrides.symbols) for at, dim in enumerate(value.dims or ())]
            shape = tuple(1 if size is None else size for size in sizes)
            if value.dims is None or None in sizes[1:]:
                wanted[value.name] = _sensible_shape(value, sizes)
            elif None in sizes:
                first_open[value.name] = _sensible_shape(value, sizes)
            if (axis := _batch_axis(value, overrides.symbols)) is not None:
                axes[value.name] = axis
        require_fit(value, shape)
        shapes[value.name] = shape
    if first_open and (wanted or not prove_batch(shapes, axes)):
        wanted = first_open | wanted
    if wanted:
        raise OpenDims([v for v in values if v.name in wanted], wanted)
    return shapes


def assumed_batches(
    values: Sequence[Value], overrides: Overrides, like: Mapping[str, Array] = {}
) -> str:
    """Which named first dims were proved to be a batch and taken as 1, as users are told; "" for none."""
    taken = [
        f"{value.name} {value.shape_text}"
        for value in values
        if overrides.inputs.get(value.name, Override()).shape is None
        and value.name not in like
        and value.dims
        and _size(value.dims[0], 0, overrides.symbols) is None
    ]
    proof = "run with 1 and with 2, every output doubles and its first half stays"
    return f"first dim taken as 1, a batch: {', '.join(taken)} ({proof})" if taken else ""


def find_parts(value: Value, tensors: Tensors) -> Tensors:
    """A value's tensors by name: its own, or those of a sequence's elements, or a map's keys and values."""
    return {n: a for n, a in tensors.items() if value.name in (n, base_name(n))}


def draw_value(
    value: Value, shape: Shape, override: InputOverride, rng: Generator, stored: Tensors
) -> Tensors:
    """A value drawn: a tensor; of a sequence two elements; of a map three entries, or all of a vocabulary.

    As `stored` has it where it holds the value, and without it where that left out what may be.
    """
    like = find_parts(value, stored)
    if value.kind == "map":
        return _draw_map(value, override, rng, like)
    if value.kind in ("tensor", "optional"):
        if value.optional and stored and not like:
            return {}
        return {value.name: draw(value, shape, override, rng, like.get(value.name))}
    names = [*like] or ([] if stored else [f"{value.name}[{i}]" for i in range(2)])
    free = override.shape is None
    sizes = {n: like[n].shape if free and n in like else shape for n in names}
    return {n: draw(value, size, override, rng, like.get(n)) for n, size in sizes.items()}


def _draw_map(value: Value, override: InputOverride, rng: Generator, like: Tensors) -> Tensors:
    keys, values = f"{value.name}{{keys}}", f"{value.name}{{values}}"
    held = like.get(keys)
    if held is None and value.vocabulary:
        held = np.array(sorted(value.vocabulary))
    if held is None and value.key_type == STRING:
        raise CannotFeed(
            f"input {value.name!r} is a map whose keys are words, and none are stored to draw from: give "
            f"arrays {keys} and {values} by --inputs FILE.npz"
        )
    if held is None:
        held = np.arange(3, dtype=np.int64)
    return {keys: held, values: draw(value, held.shape, override, rng, like.get(values))}


def fill_inputs(
    values: Sequence[Value], shapes: Mapping[str, Shape], overrides: Overrides, seed: int
) -> Tensors:
    """Seeded values for every input: floats in [0, 1), integers in {0, 1}, unless overridden.

    The values depend on the seed, the input's name and its shape, on nothing else.
    """
    fed: dict[str, Array] = {}
    for value in values:
        shape = shapes[value.name]
        override = with_usual_range(value, overrides.inputs.get(value.name, Override()))
        rng = np.random.default_rng([seed, zlib.crc32(value.name.encode())])
        if isinstance(override, Override) and override.pattern == "text_lines":
            fed[value.name] = _text_lines(shape, override.range or (0, 1), rng)
        else:
            fed |= draw_value(value, shape, override, rng, {})
    return fed


def with_usual_range(
    value: Value, override: InputOverride, like: Array | None = None
) -> InputOverride:
    """The override with a range for integers that nobody gave one and none are stored of: 0 and 1.

    That small because most are ids or masks, whose table may be short.
    """
    integers = value.onnx_type not in {*CODED_BITS, STRING} and dtype_of(value).kind in "iu"
    told = override.range is not None or override.value is not None
    if integers and not told and (like is None or not like.size):
        return replace(override, range=(0, 1))
    return override


def describe_values(value: Value, override: InputOverride, like: Array | None = None) -> str:
    """Where an input's values lie, as users are told: `x in [0, 1)`."""
    override = with_usual_range(value, override, like)
    if override.value is not None:
        return f"{value.name} = {override.value}"
    if isinstance(override, Override) and override.pattern:
        return f"{value.name} {override.pattern}"
    if value.onnx_type in MANTISSA_BITS or override.range is not None:
        low, high = override.range or (0, 1)
        return f"{value.name} in [{low:g}, {high:g}{']' if override.range else ')'}"
    like_stored = (
        like is not None and value.onnx_type not in CODED_BITS and dtype_of(value).kind != "b"
    )
    return f"{value.name} {'as stored' if like_stored else 'of any value'}"


def draw(
    value: Value, shape: Shape, override: InputOverride, rng: Generator, like: Array | None = None
) -> Array:
    """One input's values: the override's, or random ones in its range.

    Without a range floats are in [0, 1), integers in [0, the largest of `like`], below 0 from the
    smallest there. Raises CannotFeed for what only the user can say, BadModel for what does not fit.
    """
    dtype, drawn = dtype_of(value), np.empty(0)
    if override.value is not None:
        drawn = np.full(shape, fixed_value(value, override.value), dtype)
    elif value.onnx_type in MANTISSA_BITS:
        drawn = _draw_floats(value, shape, override, rng)
    elif override.range is not None:
        low, high = map(int, fixed_range(value, override.range))
        kind: Any = dtype if dtype.kind in "iu" else np.int64
        drawn = np.asarray(rng.integers(low, high, shape, dtype=kind, endpoint=True))
    elif value.onnx_type in CODED_BITS:  # every code of the small integers
        codes = rng.integers(0, 1 << CODED_BITS[value.onnx_type], shape, dtype=np.uint8)
        return as_coded(codes, value.onnx_type)
    elif dtype.kind == "b":
        drawn = np.asarray(rng.integers(0, 2, shape))
    else:
        drawn = _draw_like(value, shape, rng, like)
    return carry(np.asarray(drawn.astype(dtype)), value.onnx_type)


def _draw_floats(value: Value, shape: Shape, override: InputOverride, rng: Generator) -> Array:
    low, high = (0.0, 1.0) if override.range is None else fixed_range(value, override.range)
    drawn = np.asarray(low + (high - low) * rng.random(shape))
    if dtype_of(value).kind == "c":
        return np.asarray(drawn + 1j * rng.random(shape))
    return drawn.astype(np.float32) if value.onnx_type in CODED_BITS else drawn


def list_entries(
    values: Sequence[Value], shapes: Mapping[str, Shape], overrides: Overrides
) -> dict[str, dict[str, Any]]:
    """The `inputs` of a model_list.json row: what was overridden, and every open shape as fed."""
    found = {}
    for value in values:
        override = overrides.inputs.get(value.name, Override())
        told = {k: v for k, v in vars(override).items() if k not in ("pattern", "type")}
        entry = {k: v for k, v in told.items() if v is not None}
        if override.type:
            entry["type"] = override.type
        if override.value is not None:
            entry["value"] = fixed_value(value, override.value)
        is_open = value.dims is None or any(not isinstance(d, int) for d in value.dims)
        if is_open and value.name in shapes:  # a sequence has none
            entry["shape"] = shapes[value.name]
        if entry:
            found[value.name] = entry
    return found


def _draw_like(value: Value, shape: Shape, rng: Generator, like: Array | None) -> Array:
    """Strings among the stored ones; integers in [0, the largest stored], below 0 from the smallest there."""
    texts = value.onnx_type == STRING
    if like is None or not like.size:
        needed = (
            "holds strings, and none are stored to draw from: give its value in the model list, or "
            f"--value {value.name}=TEXT to setup_models.add"
            if texts
            else f"holds {value.type_name} and no data are stored: give its range in the model list, "
            f'as in "inputs": {{"{value.name}": {{"range": [0, 1]}}}}'
        )
        raise CannotFeed(f"input {value.name!r} {needed}")
    if texts:
        return np.asarray(rng.choice(like.ravel(), shape))
    low, high = (0 if like.max() >= 0 else int(like.min())), int(like.max())
    return np.asarray(rng.integers(low, high, shape, dtype=dtype_of(value), endpoint=True))


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


def _batch_axis(value: Value, symbols: Mapping[str, int]) -> int | None:
    """The first dim that is a batch by name, or is first and open; None where there is none."""
    for at, dim in enumerate(value.dims or ()):
        if (
            isinstance(dim, str | None)
            and dim not in symbols
            and (at == 0 or "batch" in (dim or "").lower())
        ):
            return at
    return None


def _sensible_shape(value: Value, sizes: Sequence[int | None]) -> Shape:
    """A shape to try, with sizes usual for where a dim stands and what it is called."""
    if value.dims is None:
        return (1, 3, 224, 224)
    return tuple(
        _usual_size(str(dim or "").lower(), at, len(sizes)) if size is None else size
        for at, (dim, size) in enumerate(zip(value.dims, sizes, strict=True))
    )


def _usual_size(name: str, at: int, rank: int) -> int:
    if rank > 2 and re.search(r"height|width|size|image|^[hw]$", name):
        return 224
    if re.search(r"seq|len|time|token|frame|sample|^[lts]$", name):
        return 128
    if at == 0 and rank > 1:
        return 1
    if rank == 4:  # pages of an image: [batch, channels, height, width], or channels last
        return 3 if at == 1 and "chan" in name else 224
    return 16
