"""Which options ONNX Runtime's TensorRT library knows, read from its file: loading it would need TensorRT."""

import ctypes
import difflib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(rb"trt_[a-z0-9_]+(?=\0)")
LIBRARY = "libonnxruntime_providers_tensorrt.so"


def library() -> Path | None:
    """The provider's file in the onnxruntime that this interpreter imports; None where it has none."""
    spec = importlib.util.find_spec("onnxruntime")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / "capi" / LIBRARY).is_file():
            return path
    return None


def known(file: Path) -> frozenset[str]:
    """Names that begin with trt_ and stand in the library as strings of C: its options are among them."""
    return frozenset(m.decode("ascii") for m in _NAME.findall(file.read_bytes()))


def unknown(names: Iterable[str], file: Path | None) -> str:
    """One line on the first trt_ option that the library has no word for; "" where there is none.

    Options that are none of TensorRT's own (device_id, user_compute_stream) are left to ORT to judge.
    """
    asked = [n for n in names if n.startswith("trt_")]
    if not asked or file is None:
        return ""
    there = known(file)
    for name in asked:
        if there and name not in there:
            near = difflib.get_close_matches(name, sorted(there), n=3)
            meant = f"; nearest are {', '.join(near)}" if near else ""
            return f"option {name!r} is not known to the TensorRT EP of this onnxruntime{meant}"
    return ""


def cannot_load(file: Path | None) -> str:
    """Which library the provider lacks, by asking the loader again; "" where it says nothing of use."""
    try:
        if file is not None:
            ctypes.CDLL(str(file))
    except OSError as e:
        return str(e)
    return ""
