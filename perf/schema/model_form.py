"""The forms that a model comes in beside ONNX: TorchScript, an exported program, a function, an engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What a model's file is, by its content."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    EXPORTED = "exported"  # a program of torch.export
    ENTRY_POINT = "entry_point"  # module:function, which returns a module and example inputs
    PICKLE = "pickle"  # a module saved whole by torch.save: loading it runs what it holds
    ENGINE = "engine"  # serialized by TensorRT


# Forms that PyTorch runs eagerly, the most faithful to their author's code first: what outputs are held to.
EAGER = (Format.ENTRY_POINT, Format.EXPORTED, Format.TORCHSCRIPT, Format.PICKLE)
DESCRIPTIONS = {
    Format.ONNX: "an ONNX model",
    Format.TORCHSCRIPT: "TorchScript (.pt, .ts)",
    Format.EXPORTED: "an exported program (.pt2)",
    Format.ENTRY_POINT: "an entry point (module:function)",
    Format.PICKLE: "a pickled module",
    Format.ENGINE: "a TensorRT engine (.plan, .engine)",
}


@dataclass(frozen=True)
class ModelForm:
    """One form of a model, by path and by the digest of all that it is made from."""

    format: Format
    path: str
    sha256: str
    entry: str = ""  # of an entry point: module:function
    folder: str = ""  # of an entry point: where its module is imported from


@dataclass(frozen=True)
class InputSpec:
    """One input of a form that says what it takes; `dims` are None where any size will do."""

    name: str
    onnx_type: int
    dims: tuple[int | None, ...] | None


def first_of(forms: Sequence[ModelForm], formats: Sequence[Format]) -> ModelForm | None:
    """The form of the first of these formats that is there."""
    by_format = {form.format: form for form in reversed(forms)}
    return next((by_format[f] for f in formats if f in by_format), None)
