"""An engine's error turned round: what went wrong before where in its sources that was noticed."""

import re
from collections.abc import Iterator

LONGEST = 4000  # characters that are looked at: a message is an engine's, and may be anything

_HEADER = re.compile(r"^\S+ \S+ \[[A-Z]:\w+:[^\]]*\] ")  # of a line of ONNX Runtime's log
_CODE = re.compile(r"^(?:[\w.]+: )?\[ONNXRuntimeError\] : -?\d+ : [A-Z_]+ : ")  # after its class
_PLACE = re.compile(r"[\w./+-]+\.(?:cc|cpp|cxx|cu|cuh|h|hpp)(?::\d+|\(\d+\)):?(?=\s|$)")
_LEADS_TO_PLACE = re.compile(r"(?:^|\s)(?:Exception from|thrown from|at|in|from)$")
_NAME = re.compile(r"^[A-Za-z_]\w*(?=\s|$)")
# What ONNX Runtime writes between where it was and what went wrong there.
_BEFORE_REASON = re.compile(
    r"Status Message: |(?<=Exception during initialization): |(?<=\)) , (?=Error )Error "
)
_FUNCTION = re.compile(
    r"[\w:~<>*&, ]*?[\w>~)]\("
)  # up to the parenthesis of a signature's parameters


def lead_with_reason(message: str) -> str:
    """What an engine said on one line, its last words first, the rest in brackets, source places left out.

    ONNX Runtime and OpenVINO write the places and signatures of the functions that an error passed through,
    and the node that it happened at, before the error itself.
    """
    text = _CODE.sub("", _HEADER.sub("", " ".join(message[:LONGEST].split())))
    parts = [part for piece in _BEFORE_REASON.split(text) for part in _leave_out_places(piece)]
    told = [t for part in parts if (t := part.strip(" :;,"))]
    if not told:
        return " ".join(message[:LONGEST].split())
    before = ": ".join(told[:-1])
    return f"{told[-1]} ({before})" if before else told[-1]


def _leave_out_places(text: str) -> Iterator[str]:
    """What stands between the places in a text, without the words that lead to them."""
    while found := _PLACE.search(text):
        before = text[: found.start()].strip()
        yield _LEADS_TO_PLACE.sub("", before)
        text = text[found.end() :].strip()
        if not before and "/" not in found[0] and not found[0].endswith(":"):
            text = _NAME.sub("", text)  # a file without a folder: then a function's bare name
        text = _skip_signature(text)
    yield text


def _skip_signature(text: str) -> str:
    """A text without the C++ function that it begins with, if it begins with one."""
    found = _FUNCTION.match(text)
    if found is None or not ("::" in found[0] or "operator" in found[0]):
        return text
    rest = _skip_brackets(text[found.end() - 1 :])
    if rest.startswith("("):  # operator()(…)
        rest = _skip_brackets(rest)
    rest = rest.strip().removeprefix("const ").strip()
    return _skip_brackets(rest).strip() if rest.startswith("[with ") else rest


def _skip_brackets(text: str) -> str:
    """What follows the bracket that a text begins with and all that it holds; "" where it is never closed."""
    depth = 0
    for at, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0:
            return text[at + 1 :]
    return ""
