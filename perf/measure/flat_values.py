"""Sequences, maps and optionals of ONNX Runtime told as tensors by name, and sequences put together again.

A sequence `s` is `s[0]`, `s[1]`, …; a map `m` is `m{keys}`, in order, and `m{values}`; a sequence of maps is
`m{counts}`, how many entries each has, and `m{keys}` and `m{values}` of all, one map after the other; an
absent optional is nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Tensors: TypeAlias = "Mapping[str, np.ndarray]"
_MAP = re.compile(r"(seq\()?map\((\w+),\s*tensor\((\w+)\)\)\)?")
_ELEMENT = re.compile(r"(.+)\[\d+\]", re.DOTALL)
_NUMPY_OF = {"float": "float32", "double": "float64", "string": "str"}


class NotFlatError(Exception):
    """An output of a kind that cannot be told as tensors; the message says which."""


def group_inputs(types: Mapping[str, str], feed: Tensors) -> dict[str, Any]:
    """The feed as ONNX Runtime takes it: sequences as lists, maps as dicts, an absent optional as None.

    `types` are ONNX Runtime's words for each input's type, `seq(tensor(float))`.
    """
    out: dict[str, Any] = {}
    for name, kind in types.items():
        if "seq(" in kind:
            element = re.compile(re.escape(name) + r"\[\d+\]")
            held = [a for n, a in feed.items() if element.fullmatch(n)]
            out[name] = held if held or kind.startswith("seq(") else None
        elif f"{name}{{keys}}" in feed:
            keys, values = feed[f"{name}{{keys}}"], feed[f"{name}{{values}}"]
            out[name] = dict(zip(keys.tolist(), values.tolist(), strict=True))
        elif name in feed:
            out[name] = feed[name]
        elif kind.startswith("optional("):
            out[name] = None
    return out | {n: a for n, a in feed.items() if n not in out and not n.endswith(("]", "}"))}


def name_outputs(
    types: Mapping[str, str], outputs: Iterable[Any], to_array: "Callable[[Any], np.ndarray]"
) -> "dict[str, np.ndarray]":
    """A run's outputs by name, in the model's order; raises NotFlatError."""
    out: dict[str, np.ndarray] = {}
    for (name, kind), value in zip(types.items(), outputs, strict=True):
        if found := _MAP.fullmatch(kind):
            maps = value if found[1] else [value]
            out.update(_flat_maps(name, maps, (found[2], found[3]), counted=bool(found[1])))
        elif isinstance(value, list):
            out.update({f"{name}[{i}]": to_array(element) for i, element in enumerate(value)})
        elif not kind.removeprefix("optional(").startswith(("tensor(", "seq(tensor(")):
            raise NotFlatError(f"output {name!r} is {kind}, which cannot be compared")
        elif value is not None:  # an absent optional
            out[name] = to_array(value)
    return out


def count_elements(names: Iterable[str]) -> dict[str, int]:
    """Of names that stand for a sequence's elements, the sequences and how many elements each has."""
    counts: dict[str, int] = {}
    for found in filter(None, map(_ELEMENT.fullmatch, names)):
        counts[found[1]] = counts.get(found[1], 0) + 1
    return counts


def _flat_maps(
    name: str, maps: Sequence[Mapping[Any, Any]], types: tuple[str, str], *, counted: bool
) -> "dict[str, np.ndarray]":
    import numpy as np  # a wrapper's tests import what is above without it

    items = [item for one in maps for item in sorted(one.items())]
    keys, values = (
        np.array([item[at] for item in items], dtype=_NUMPY_OF.get(kind, kind))
        for at, kind in enumerate(types)
    )
    counts = {f"{name}{{counts}}": np.array([len(m) for m in maps], np.int64)} if counted else {}
    return counts | {f"{name}{{keys}}": keys, f"{name}{{values}}": values}
