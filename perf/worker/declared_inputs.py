"""Files and shapes that a user names, held against what the models themselves declare.

Reads from stdin the paths of models and sets of shapes, and answers on stdout what is wrong with each: onnx
reads them, which the program that was asked does not import.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from perf.conversion.errors import BadModel, CannotFeed
from perf.conversion.signature import Value, read_signature
from perf.request.model_list import is_ort_format


def judge_models(
    paths: Sequence[str], shapes: Sequence[Mapping[str, Sequence[int]]]
) -> list[dict[str, object]]:
    """Of each model: why it cannot be read, or for each set of shapes why it is not taken; "" for right."""
    return [_judge(Path(path), shapes) for path in paths]


def _judge(path: Path, shapes: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, object]:
    if is_ort_format(path):  # no ONNX: its cells' own session tells
        return {"problem": "", "misfits": [""] * len(shapes)}
    try:
        inputs = {v.name: v for v in read_signature(path).inputs}
    except BadModel as e:
        return {"problem": str(e), "misfits": []}
    except CannotFeed:  # for its cells to say
        return {"problem": "", "misfits": [""] * len(shapes)}
    return {"problem": "", "misfits": [_find_misfit(inputs, given) for given in shapes]}


def _find_misfit(inputs: Mapping[str, Value], given: Mapping[str, Sequence[int]]) -> str:
    for name, dims in given.items():
        if name not in inputs:
            known = ", ".join(f"{v.name!r} {v.shape_text}" for v in inputs.values()) or "none"
            return f"no input is called {name!r}; its inputs are {known}"
        if not inputs[name].fits(dims):
            return f"input {name!r} is {inputs[name].shape_text}, not {'x'.join(map(str, dims))}"
    return ""


def main(argv: Sequence[str]) -> int:
    """Models and shapes as JSON on stdin, answers as JSON on stdout."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        return 0
    job = json.load(sys.stdin)
    json.dump(judge_models(job["models"], job["shapes"]), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
