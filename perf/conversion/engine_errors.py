"""What ONNX Runtime says when it cannot load a model, put as what is wrong and what to do."""

import re

_TOO_NEW = (
    re.compile(r"Unsupported model (IR version): (\d+), max supported IR version: (\d+)"),
    re.compile(r"(Opset) (\d+) is under development.* for domain \S+ is till opset (\d+)", re.S),
)
_UNKNOWN_OP = re.compile(r"(\S+)\(-?\d+\) is not a registered function/op")


def explain_too_new(text: str) -> str:
    """Of a model of a later ONNX than this ONNX Runtime reads; "" of anything else."""
    found = next(filter(None, (pattern.search(text) for pattern in _TOO_NEW)), None)
    if found is None:
        return ""
    what, its, most = found.groups()
    return (
        f"the model is of ONNX {what} {its}, and this onnxruntime reads up to {most}: "
        "use a newer onnxruntime, or export the model with an older one"
    )


def explain_unknown_op(text: str) -> str:
    """Of an op that no library registers; "" of anything else."""
    found = _UNKNOWN_OP.search(text)
    if found is None:
        return ""
    return (
        f"{found[1]} is not a registered function/op: give the library that registers it, with "
        "--custom_ops LIB or as custom_ops in the model's row"
    )
