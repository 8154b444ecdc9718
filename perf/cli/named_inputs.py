"""Refuses a file that is no model and a --shape that no model takes, before anything is built or run."""

import importlib.util
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from perf.request.flag_types import Shapes, spell_shape
from perf.request.model_list import is_model_file
from perf.request.options import BadRequestError, Options
from perf.request.programs import child_command, child_variables
from perf.schema.cell import ModelFile
from perf.schema.model_form import Format

LIMIT_S = 60.0  # after which a run starts, and its own launches tell


def refuse_misnamed(
    models: Sequence[ModelFile], sources: Sequence[Path], options: Options
) -> None:
    """Raise BadRequestError for a file given by name that is no model, or a --shape that fits no model.

    One that fits some of several models is a cell's own matter, and so is a broken model of a list.
    """
    named = [s for s in sources if s.is_file() and is_model_file(s)]
    files = {str(path) for s in named for path in (s.absolute(), s.resolve())}
    chosen = [
        m for m in models
        if not options.models or any(fnmatchcase(m.name, glob) for glob in options.models)
    ]  # fmt: skip
    asked = [m for m in chosen if options.shape or m.path in files]
    for model in (m for m in asked if m.problem and m.path in files):
        where = "" if model.path in model.problem else f"{model.path}: "
        raise BadRequestError(f"{where}{model.problem}")
    if any(m.format is not Format.ONNX for m in asked):
        return  # what another form takes, its own environment says
    readable = [m for m in asked if not m.problem]
    told = _declared_inputs(readable, options.shape)
    if not told:
        return
    for model, answer in zip(readable, told, strict=True):
        if answer["problem"] and model.path in files:
            raise BadRequestError(answer["problem"])
    for at, shapes in enumerate(options.shape):
        misfits = [a["misfits"][at] if a["misfits"] else a["problem"] for a in told]
        if all(misfits):
            given = " ".join(spell_shape(name, dims) for name, dims in shapes.items())
            raise BadRequestError(f"--shape {given}: {readable[0].name}: {misfits[0]}")


def _declared_inputs(
    models: Sequence[ModelFile], shapes: Sequence[Shapes]
) -> Sequence[Mapping[str, Any]]:
    """The answers of perf.worker.declared_inputs; none where it cannot be asked, and a run will tell."""
    if not models or importlib.util.find_spec("onnx") is None:
        return ()
    job = {"models": [m.path for m in models], "shapes": [dict(one) for one in shapes]}
    with suppress(subprocess.TimeoutExpired, ValueError):
        done = subprocess.run(
            child_command("perf.worker.declared_inputs"), env=child_variables(), input=json.dumps(job),
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
        answers: Sequence[Mapping[str, Any]] = json.loads(done.stdout)
        return answers
    return ()
