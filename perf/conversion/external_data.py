"""ONNX files and the external data beside them: found, loaded and saved as one model."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import external_data_helper, shape_inference

from perf.conversion.errors import UserError
from perf.conversion.graph_repair import all_graphs

COPY_BYTES = 16 << 20
MESSAGE_LIMIT_BYTES = 2_000_000_000  # a protobuf message holds less than 2 GiB


def read_structure(path: Path) -> onnx.ModelProto:
    """The model without its external data; UserError for what is not a readable ONNX model."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:  # protobuf's DecodeError has no public base
        raise UserError(f"{path}: not a readable ONNX model ({error})") from error
    if not model.graph.node and not model.graph.output:
        raise UserError(f"{path}: not an ONNX model (its graph is empty)")
    return model


def external_files(path: Path, model: onnx.ModelProto) -> list[Path]:
    """The data files the model refers to, sorted; UserError if one is missing or elsewhere."""
    names: set[str] = set()
    for tensor in _external_tensors(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        names.add(entries.get("location", ""))
    files = []
    for name in sorted(names):
        relative = PurePosixPath(name)
        if not name or relative.is_absolute() or ".." in relative.parts:
            raise UserError(f"{path}: external data {name!r} lies outside the model's folder")
        file = path.parent / relative
        if not file.is_file():
            raise UserError(f"{path}: its external data file {name} is missing beside it")
        files.append(file)
    return files


def load_with_shapes(path: Path, scratch: Path) -> onnx.ModelProto:
    """The whole model in memory, with inferred shapes; works past protobuf's 2 GiB.

    Shape inference runs from file to file (`scratch` holds the result) and a model it fails on is
    returned as it is: types are then what the converter can see.
    """
    inferred = scratch / "shapes.onnx"
    try:
        shape_inference.infer_shapes_path(str(path), str(inferred))
        model = onnx.load(str(inferred), load_external_data=False)
    except Exception:  # onnx raises bare RuntimeErrors, and shapes are a help, not a need
        model = onnx.load(str(path), load_external_data=False)
    finally:
        inferred.unlink(missing_ok=True)
    external_data_helper.load_external_data_for_model(model, str(path.parent))
    return model


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write the model; with `<name>.data` beside it where protobuf's limit asks for that."""
    if model.ByteSize() < MESSAGE_LIMIT_BYTES:
        path.write_bytes(model.SerializeToString())
        return
    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
        size_threshold=1024,
    )


def copy_sparse(file: Path, target: Path) -> None:
    """Copy a data file to `target`, its holes as holes.

    Never a link, hard or symbolic: onnx refuses external data that is one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with file.open("rb") as source, target.open("wb") as copy:
        for start, end in _stretches(source.fileno()):
            source.seek(start)
            copy.seek(start)
            while chunk := source.read(min(end - source.tell(), COPY_BYTES)):
                copy.write(chunk)
        copy.truncate(file.stat().st_size)


def _stretches(handle: int) -> Iterator[tuple[int, int]]:
    """Where a file holds data, as [start, end) in bytes; the rest of it are holes."""
    end = 0
    while True:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # no data from there on
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def _external_tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    tensors = []
    for graph in all_graphs(model.graph):
        tensors += list(graph.initializer)
        tensors += [attribute.t for node in graph.node for attribute in node.attribute]
    return [tensor for tensor in tensors if external_data_helper.uses_external_data(tensor)]
