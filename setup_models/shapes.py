"""Symbolic shape inference of a model, as an artefact beside a cache, never in the model's folder."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core.models import digest
from setup_models import half, running, scratch, weights
from setup_models.refusals import RefusalError, run_command


def key(source_sha256: str, converter_version: str) -> str:
    """32 hex digits that change with the source and with the version of what infers."""
    return hashlib.sha256(f"shapes {source_sha256} {converter_version}".encode()).hexdigest()[:32]


def kept(source: Path, root: Path) -> Path:
    """The model with shapes in `<root>/<key>`; made if it is not there, whoever else asks meanwhile.

    Raises RefusalError as `infer` does.
    """
    version = half.converter_version("onnxruntime")
    path = root / key(digest(source), version) / "model.shapes.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():  # the model comes last: where it is, its data is too
            infer(source, path)
    return path


def infer(source: Path, destination: Path, *, auto_merge: bool = True) -> int:
    """Write the model with inferred shapes to `destination`, atomically; how many values got one.

    TensorRT's parser needs this for models whose subgraphs or custom ops hide their shapes.
    External data is copied beside. Raises RefusalError without sympy, where inference fails, and
    where `destination` lies in the model's own folder.
    """
    model = weights.read_structure(source)
    if destination.resolve().parent == source.resolve().parent:
        raise RefusalError(f"{destination}: lies in the model's own folder; name a cache folder")
    try:
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
    except ImportError as error:
        raise RefusalError(
            "symbolic shape inference needs sympy: pip install 'ep-perf[symbolic]'"
        ) from error
    data_files = weights.external_files(source, model)
    destination = destination.resolve()
    try:
        # Values of external tensors are looked up beside the model, without loading the weights.
        with contextlib.chdir(source.parent):
            inferred = SymbolicShapeInference.infer_shapes(model, auto_merge=auto_merge)
    except Exception as error:  # it raises bare Exceptions and AssertionErrors
        why = running.reason(error) or type(error).__name__
        raise RefusalError(f"{source}: symbolic shape inference failed: {why}") from error
    destination.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(destination.parent, ".shapes.") as folder:
        draft = folder / destination.name
        draft.write_bytes(inferred.SerializeToString())
        for file in data_files:
            beside = destination.parent / file.relative_to(source.parent)
            weights.bring(file.resolve(), beside)
        draft.replace(destination)
    return sum(value.type.tensor_type.HasField("shape") for value in inferred.graph.value_info)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the artefact there, 1 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m setup_models.shapes", description=__doc__)
    parser.add_argument("source", type=Path, metavar="SRC.onnx")
    parser.add_argument("destination", type=Path, metavar="DST.onnx")
    parser.add_argument("--no_auto_merge", action="store_true", help="do not merge unequal dims")
    given = parser.parse_args(arguments)
    shaped = infer(given.source, given.destination, auto_merge=not given.no_auto_merge)
    print(f"{given.destination}: {shaped} values have a shape")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
