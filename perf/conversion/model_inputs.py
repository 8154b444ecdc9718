"""A model's inputs: their shapes and types as declared, resolved, and filled with seeded values."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from perf.conversion.errors import UserError

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Input:
    """One declared input. A dim is a number, the name of a symbol, or "?" where nothing is said."""

    name: str
    dtype: np.dtype[np.generic]
    dims: tuple[int | str, ...] | None  # None: not even the rank is declared


@dataclass(frozen=True)
class Override:
    """What a user says of an input: its shape, the range of its values, or one fixed value.

    `pattern` "text_lines" draws rows of dark strokes on a light page instead of noise, for models
    that answer noise with nothing; it shapes test sets only and is not part of a row.
    """

    shape: tuple[int, ...] | None = None
    range: tuple[float, float] | None = None
    value: float | bool | str | None = None
    pattern: str | None = None

    def as_json(self) -> dict[str, object]:
        """The override as model_list.json's `inputs` holds it."""
        known = {"shape": self.shape, "range": self.range, "value": self.value}
        return {
            name: list(entry) if isinstance(entry, tuple) else entry
            for name, entry in known.items()
            if entry is not None
        }


@dataclass(frozen=True)
class Overrides:
    """Overrides by input name, and sizes for symbols, which hold wherever the symbol stands."""

    inputs: Mapping[str, Override] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)


def declared_inputs(model: onnx.ModelProto) -> list[Input]:
    """The inputs a caller feeds, initializers left out; UserError for what is not a tensor."""
    stored = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name in stored:
            continue
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value")
            raise UserError(f"input {value.name!r} is a {kind}; only tensors can be made")
        tensor = value.type.tensor_type
        dims = tuple(_dim(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        found.append(Input(value.name, dtype, dims))
    return found


def resolve_shapes(inputs: Sequence[Input], overrides: Overrides) -> dict[str, tuple[int, ...]]:
    """Every input's concrete shape.

    A dim that no override gives is 1 if it is a batch by name, or first and unnamed. UserError
    lists every other open dim with the option that sets it, and overrides that fit no input.
    """
    names = {each.name for each in inputs}
    if strangers := sorted(set(overrides.inputs) - names):
        raise UserError(
            f"no input is called {', '.join(map(repr, strangers))}; the model's inputs are "
            f"{', '.join(map(repr, sorted(names)))}"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    open_inputs: list[str] = []
    for each in inputs:
        override = overrides.inputs.get(each.name, Override())
        if override.shape is not None:
            _require_fit(each, override.shape)
            shapes[each.name] = override.shape
            continue
        dims = [_size(dim, at, overrides.symbols) for at, dim in enumerate(each.dims or ())]
        if each.dims is None or None in dims:
            open_inputs.append(_ask(each))
        shapes[each.name] = tuple(dim or 0 for dim in dims)
    if open_inputs:
        raise UserError(f"dynamic dims need sizes: {'; '.join(open_inputs)}")
    return shapes


def fill_inputs(
    inputs: Sequence[Input],
    shapes: Mapping[str, tuple[int, ...]],
    overrides: Overrides,
    seed: int,
) -> dict[str, Array]:
    """Seeded values for every input: floats in [0, 1), integers in {0, 1}, unless overridden.

    Integers stay that small by default because most are ids or masks, whose table may be short.
    The values depend on the seed, the input's name and its shape, on nothing else.
    """
    return {
        each.name: _values(each, shapes[each.name], overrides.inputs.get(each.name), seed)
        for each in inputs
    }


def _values(each: Input, shape: tuple[int, ...], override: Override | None, seed: int) -> Array:
    override = override or Override()
    if override.value is not None:
        return np.full(shape, override.value, each.dtype)
    generator = np.random.default_rng([seed, zlib.crc32(each.name.encode())])
    kind = each.dtype.kind
    if kind == "b":
        return np.asarray(generator.integers(0, 2, shape), np.bool_)
    if kind in "iu":
        low, high = override.range or (0, 1)
        bounds = np.iinfo(each.dtype.str)
        if low < bounds.min or high > bounds.max:
            raise UserError(f"range of {each.name!r}: {low}…{high} does not fit {each.dtype}")
        drawn = generator.integers(int(low), int(high), shape, np.int64, endpoint=True)
        return np.asarray(drawn, each.dtype)
    if kind in "SUO":
        raise UserError(f"input {each.name!r} holds strings: give --value {each.name}=TEXT")
    low, high = override.range or (0.0, 1.0)
    if override.pattern == "text_lines":
        return _text_lines(shape, low, high, generator).astype(each.dtype)
    return np.asarray(low + (high - low) * generator.random(shape), each.dtype)


def _text_lines(
    shape: tuple[int, ...], low: float, high: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Pages [..., height, width] of `high`, with lines of random strokes of `low`."""
    height, width = shape[-2:]
    cell = max(2, height // 80)
    page = np.full((height, width), high)
    columns = max(1, width // cell - 20)
    for top in range(5 * cell, height - 5 * cell + 1, 10 * cell):
        strokes = generator.integers(0, 2, (5, columns)).repeat(cell, 0).repeat(cell, 1)
        line = page[top : top + 5 * cell, 10 * cell : 10 * cell + columns * cell]
        line[:] = np.where(strokes[: line.shape[0], : line.shape[1]], low, high)
    return np.broadcast_to(page, shape)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    # Some exporters write 0 or -1 where they mean "any".
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or "?"


def _size(dim: int | str, at: int, symbols: Mapping[str, int]) -> int | None:
    if isinstance(dim, int):
        return dim
    if dim in symbols:
        return symbols[dim]
    batch = "batch" in dim.lower() or (at == 0 and dim.lower() in {"?", "n", "b"})
    return 1 if batch else None


def _require_fit(each: Input, shape: tuple[int, ...]) -> None:
    if each.dims is None:
        return
    fits = len(shape) == len(each.dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(each.dims, shape, strict=True)
    )
    if not fits:
        raise UserError(
            f"shape {'x'.join(map(str, shape))} of {each.name!r} does not fit the declared "
            f"[{', '.join(map(str, each.dims))}]"
        )


def _ask(each: Input) -> str:
    if each.dims is None:
        return f"{each.name} (rank unknown): --shape {each.name}=…"
    template = "x".join(str(dim) if isinstance(dim, int) else f"<{dim}>" for dim in each.dims)
    return f"{each.name} [{', '.join(map(str, each.dims))}]: --shape {each.name}={template}"


def to_json(
    inputs: Sequence[Input], shapes: Mapping[str, tuple[int, ...]], overrides: Overrides
) -> dict[str, dict[str, object]]:
    """The `inputs` of a model_list.json row: what was overridden, and every open shape as fed."""
    found = {}
    for each in inputs:
        override = overrides.inputs.get(each.name, Override())
        if each.dims is None or any(isinstance(dim, str) for dim in each.dims):
            override = replace(override, shape=shapes[each.name])
        if entry := override.as_json():
            found[each.name] = entry
    return found


def from_json(entries: object, where: Path) -> dict[str, Override]:
    """Overrides from a `{"name": {"shape": …, "range": …, "value": …}}` object of a data file."""
    if not isinstance(entries, Mapping):
        raise UserError(f"{where}: `inputs` must be an object of input names")
    found = {}
    for name, entry in entries.items():
        try:
            shape, bounds = entry.get("shape"), entry.get("range")
            found[str(name)] = Override(
                None if shape is None else tuple(int(dim) for dim in shape),
                None if bounds is None else (float(bounds[0]), float(bounds[1])),
                entry.get("value"),
                entry.get("pattern"),
            )
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{where}: inputs.{name} is not understood ({error})") from error
    return found
