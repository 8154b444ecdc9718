"""Models in ONNX Runtime's own format, .ort, which hold no ONNX: a session tells what they take and give."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from perf.conversion.cpu_reference import open_session
from perf.conversion.errors import BadModel, raise_as
from perf.conversion.signature import Signature, Value

_KIND = re.compile(r"(optional\(|seq\(|map\(\w+,)|(?:tensor\((\w+)\))")
_WORDS = {"seq(": "sequence", "optional(": "optional"}


def signature_of_session(session: Any) -> Signature:
    """What the model of a session takes and gives."""
    return Signature(
        tuple(map(_value, session.get_inputs())),
        tuple(map(_value, session.get_overridable_initializers())),
        tuple(map(_value, session.get_outputs())),
    )


def read_ort_signature(path: Path, custom_ops: Iterable[str] = ()) -> Signature:
    """The signature of an .ort file; raises BadModel for one that the CPU EP cannot load."""
    if not path.is_file():
        raise BadModel(f"{path}: no such file")
    with raise_as(BadModel, f"{path}: the CPU EP cannot load it"):
        return signature_of_session(open_session(path, custom_ops=custom_ops))


def _value(value: Any) -> Value:
    """A NodeArg: its type in ONNX Runtime's words, its dims as numbers, names or None."""
    kinds, onnx_type = list[str](), 0
    for opened, element in _KIND.findall(value.type):
        if opened:
            kinds.append(_WORDS.get(opened, "map"))
        else:
            onnx_type = onnx.TensorProto.DataType.Value(element.upper())
    kind = " ".join(kinds) or "tensor"
    dims = tuple(d if isinstance(d, int) and d >= 0 else str(d or "") or None for d in value.shape)
    key = re.search(r"map\((\w+),", value.type)
    key_type = onnx.TensorProto.DataType.Value(key[1].upper()) if key else 0
    return Value(value.name, onnx_type, None if kinds else dims, kind, key_type)
