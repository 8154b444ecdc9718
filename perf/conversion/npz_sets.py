"""A test data set kept as one .npz: arrays by name, or numbered, or stacked as the old zoo did."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perf.conversion.errors import BadModel
from perf.conversion.signature import Signature

MOST_BYTES = 16 << 30  # unpacked
_ELEMENT = re.compile(r"(.+)(\[\d+\]|\{(?:counts|keys|values)\})", re.DOTALL)
_NUMBERED = {"input": re.compile(r"(?:input|arr)_?(\d+)"), "output": re.compile(r"output_?(\d+)")}


@dataclass(frozen=True)
class Entry:
    """One value of the set; without a name it stands by its place."""

    where: str
    name: str
    tensors: Mapping[
        str, np.ndarray
    ]  # by the end of their names: "", or [0], [1], … of a sequence, {keys} and {values} of a map


def read_entries(path: Path, kind: str, signature: Signature) -> Iterator[Entry]:
    """The inputs (`kind` "input") or outputs of a set; raises BadModel for names that the model lacks."""
    arrays = _load(path)
    stacked = {f"{k}s" for k in _NUMBERED} - _names(signature)
    _require_known(path, arrays, signature, stacked)
    values = (*signature.inputs, *signature.overridable) if kind == "input" else signature.outputs
    for value in values:
        if value.name in arrays:
            yield Entry(f"{path}: {value.name}", value.name, {"": arrays[value.name]})
        elif value.kind not in ("tensor", "optional"):
            found = ((_ELEMENT.fullmatch(key), array) for key, array in arrays.items())
            held = {m[2]: array for m, array in found if m and m[1] == value.name}
            if held:
                yield Entry(f"{path}: {value.name}", value.name, held)
    taken = _names(signature)
    numbered = {
        int(m[1]): key
        for key in arrays
        if key not in taken and (m := _NUMBERED[kind].fullmatch(key))
    }
    for _, key in sorted(numbered.items()):
        yield Entry(f"{path}: {key}", "", {"": arrays[key]})
    if f"{kind}s" in stacked & arrays.keys():
        for number, array in enumerate(arrays[f"{kind}s"]):
            yield Entry(f"{path}: {kind}s[{number}]", "", {"": np.asarray(array)})


def _names(signature: Signature) -> set[str]:
    values = (*signature.inputs, *signature.overridable, *signature.outputs)
    return {v.name for v in values}


def _require_known(
    path: Path, arrays: Mapping[str, np.ndarray], signature: Signature, stacked: set[str]
) -> None:
    known = _names(signature) | signature.weights | stacked
    for key in arrays:
        element = _ELEMENT.fullmatch(key)
        numbered = any(pattern.fullmatch(key) for pattern in _NUMBERED.values())
        if key not in known and not numbered and not (element and element[1] in known):
            inputs = ", ".join(repr(v.name) for v in signature.inputs)
            raise BadModel(
                f"{path}: {key!r} is no input or output of the model; its inputs are {inputs}"
            )


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as packed:
            size_bytes = sum(member.file_size for member in packed.infolist())
        if size_bytes > MOST_BYTES:
            raise BadModel(f"{path}: unpacks to {size_bytes} bytes, more than {MOST_BYTES}")
        with np.load(path, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    except ValueError as e:
        if "pickle" not in str(e) and "Object arrays" not in str(e):
            raise BadModel(f"{path}: not a whole .npz file ({e})") from e
        raise BadModel(
            f"{path}: holds Python objects, which are never loaded; save one array for each input, as "
            "in numpy.savez(FILE, x=x, y=y)"
        ) from e
    except (OSError, EOFError, zipfile.BadZipFile) as e:
        raise BadModel(f"{path}: not a whole .npz file ({e})") from e
