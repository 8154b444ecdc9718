"""ONNX files and the external data beside them: found, loaded and saved as one model."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import external_data_helper, shape_inference

from perf.conversion.errors import BadModel
from perf.conversion.graph_repair import all_graphs

COPY_BYTES = 1 << 20
MESSAGE_LIMIT_BYTES = 2_000_000_000  # a protobuf message holds less than 2 GiB


def read_structure(path: Path) -> onnx.ModelProto:
    """The model without its external data; raises BadModel for what is not a readable ONNX model."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise BadModel(f"{path}: {e.strerror}") from e
    bad = f"{path}: truncated, or not an ONNX model"
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as e:
        raise BadModel(f"{bad} of {len(data)} bytes ({e})") from e
    if not model.HasField("graph") or not model.ir_version:
        raise BadModel(f"{bad}: no graph in its {len(data)} bytes")
    if not model.opset_import and model.ir_version >= 3:
        raise BadModel(f"{bad}: it imports no opset")
    return model


def external_files(path: Path, model: onnx.ModelProto) -> list[Path]:
    """The data files the model refers to, sorted; raises BadModel for one missing, too short or elsewhere.

    Elsewhere: neither in the folder of the model nor, links followed, beside its own file, since caches
    keep models as links to files that lie together.
    """
    homes = (path.parent.resolve(), path.resolve().parent)
    sizes: dict[str, int] = {}
    for tensor in _external_tensors(model):
        fields = {e.key: e.value for e in tensor.external_data}
        location = fields.get("location", "")
        try:
            file = path.parent / location
            inside = any(file.resolve().is_relative_to(home) for home in homes)
            if (
                not location
                or Path(location).is_absolute()
                or ".." in Path(location).parts
                or not inside
            ):
                raise BadModel(
                    f"{path}: external data {location!r} lies outside the model's folder"
                )
            sizes[location] = file.stat().st_size
            needed = int(fields.get("offset", 0)) + int(fields.get("length", 0))
        except OSError as e:
            missing = f"external data {location!r} is missing; copy it beside the model"
            raise BadModel(f"{path}: {missing}") from e
        except ValueError as e:  # a name with a NUL, a number that is none
            raise BadModel(f"{path}: external data of {tensor.name!r}: {e}") from e
        if needed > sizes[location]:
            raise BadModel(
                f"{path}: external data {location!r} has {sizes[location]} bytes, "
                f"{tensor.name!r} needs {needed}"
            )
    return [path.parent / location for location in sorted(sizes)]


def load_with_shapes(path: Path, scratch: Path) -> onnx.ModelProto:
    """The whole model in memory, past protobuf's 2 GiB too, with inferred shapes where inference succeeds."""
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
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}.data")


@contextlib.contextmanager
def without_links(path: Path, scratch: Path) -> Iterator[Path]:
    """The model; a copy of it and its external data where these are links, which onnx refuses to read."""
    files = external_files(path, read_structure(path))
    if not any(file.is_symlink() or file.stat().st_nlink > 1 for file in files):
        yield path
        return
    with tempfile.TemporaryDirectory(dir=scratch.parent, prefix=".unlinked.") as folder:
        home = Path(folder)
        for file in (path, *files):
            copy_sparse(file, home / file.relative_to(path.parent))
        yield home / path.name


def copy_sparse(file: Path, target: Path) -> None:
    """Copy a data file to `target`, zeros as holes; never a link, hard or symbolic, which onnx refuses."""
    zeros = bytes(COPY_BYTES)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with file.open("rb") as source, target.open("wb") as copy:
        while chunk := source.read(COPY_BYTES):
            if chunk == zeros:
                copy.seek(COPY_BYTES, os.SEEK_CUR)
            else:
                copy.write(chunk)
        copy.truncate(copy.tell())


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in (g for owner in (model.graph, *model.functions) for g in all_graphs(owner)):
        yield from filter(
            external_data_helper.uses_external_data, getattr(graph, "initializer", ())
        )
        for attribute in (a for node in graph.node for a in node.attribute):
            held = (attribute.t, *attribute.tensors)
            yield from filter(external_data_helper.uses_external_data, held)
