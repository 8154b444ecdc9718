"""Which engine a cell needs, from which model and profiles, and the file that keeps it."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt.onnx_header import Header
from perf.request.programs import command_of
from perf.schema import atomic_file, file_lock, shape_profiles
from perf.schema.cell import Cell, Precision
from perf.schema.shape_profiles import Shape, ShapeProfile

DRIVER = Path("/proc/driver/nvidia")


def model_for(cell: Cell, weakly_typed: bool) -> str:
    """The file to build from: where types are the model's, half precision is the converted model.

    Raises Unsupported where that is needed and was not made.
    """
    if cell.target.precision is not Precision.FP16 or weakly_typed:
        return cell.model.path
    if not cell.model.path_fp16:
        raise Unsupported(
            "TensorRT 11 builds what the model's types say: it needs the fp16 artefact, and there is none "
            f"(model_path_fp16 in the model list, or {command_of('perf.cli.convert_model')})"
        )
    return cell.model.path_fp16


def profiles_for(cell: Cell, header: Header) -> tuple[ShapeProfile, ...]:
    """Profiles of the dynamic inputs: those the user gave, and for the others what covers the shapes fed.

    Raises Unsupported where one does not serve a shape that will be fed.
    """
    dynamic = {v.name for v in header.inputs if v.dynamic}
    try:
        given = shape_profiles.from_options(cell.options)
        merged = shape_profiles.merge_profiles(given, fed_shapes(cell))
    except ValueError as e:
        raise Unsupported(str(e)) from e
    return tuple(p for p in merged if p.name in dynamic)


def fed_shapes(cell: Cell) -> Sequence[Mapping[str, Shape]]:
    """The shapes of every set's inputs, by name."""
    return [{t.name: t.shape for t in s.inputs} for s in cell.sets]


def first_feed(cell: Cell) -> Tensors:
    """The first set's inputs, read anew; empty where a cell has none."""
    from perf.measure import tensor_io  # numpy

    return tensor_io.load_inputs(cell.sets[0]) if cell.sets else {}


def engine_file(
    cell: Cell,
    launch_dir: Path,
    maker: str,
    model: str,
    profiles: Sequence[ShapeProfile],
    driver: Path = DRIVER,
) -> Path:
    """A file named by the digest of all that can change an engine; beside it, as .json, that in words.

    It lies in the cell's cache, else in its launch's folder. `maker` is what builds it, with its version:
    engines serve no other. Engines are made for a board too.
    """
    identity = {
        "model": cell.model.sha256,
        "built_from": Path(model).name,
        "maker": maker,
        "precision": cell.target.precision.value,
        "tf32": cell.tf32,
        "options": dict(sorted(cell.options.items())),
        "profiles": [[p.name, p.min, p.opt, p.max] for p in profiles],
        "boards": boards(driver),
        "device": [cell.device, os.environ.get("CUDA_VISIBLE_DEVICES", "")],
        "variables": dict(sorted(cell.environment.variables.items())),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = (Path(cell.cache) if cell.cache else launch_dir) / f"{digest[:16]}.engine"
    atomic_file.write_json(path.with_suffix(".json"), identity, durable=False)
    return path


def boards(driver: Path) -> list[str]:
    """The models of this machine's NVIDIA boards and the driver, by the driver's own files."""
    texts = [f.read_text("utf-8", "replace") for f in sorted(driver.glob("gpus/*/information"))]
    models = [m[1].strip() for text in texts for m in re.finditer("^Model:(.*)", text, re.M)]
    version = driver / "version"
    return models + (
        version.read_text("utf-8", "replace").splitlines()[:1] if version.is_file() else []
    )


def hold_engine_lock(engine: Path) -> AbstractContextManager[int]:
    """An engine's lock, waited for across the processes and runs that share its folder."""
    return file_lock.hold_lock(engine.with_suffix(".lock"))


def timing_cache(cell: Cell, engine: Path) -> Path:
    """The builder's timing cache: shared by the engines of a folder, but not by repeated builds.

    A rebuild that read another's timings would choose its tactics, and show no spread between builds.
    """
    rebuild = cell.options.get("build")
    name = f"timing-{engine.stem if rebuild else cell.target.precision.value}.cache"
    return engine.with_name(name)
