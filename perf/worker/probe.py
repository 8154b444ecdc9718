"""Run inside an environment, writes what is really there: versions, providers, plug-in devices."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from perf.request.model_file import digest_file
from perf.schema import codec, strict_json
from perf.schema.jobs import ProbeJob
from perf.schema.journal import (
    Began,
    ExceptionRaised,
    Finished,
    Journal,
    Probed,
    Stage,
    WorkerStarted,
)
from perf.schema.version import VERSION
from perf.worker import engine_libraries, worker_process

INTERESTING = (
    "onnx",
    "numpy",
    "tensorrt",
    "nvidia-",
    "openvino",
    "torch",
    "triton",
    "iree-",
    "cuda-",
    "ml-dtypes",
    "ml_dtypes",
)


def main(argv: Sequence[str]) -> NoReturn:
    """Look into this environment and register its plug-in: a launch of its own, whose request is JSON."""
    if argv[0] in ("-h", "--help"):
        print(main.__doc__)
        sys.exit(0)
    request = json.loads(argv[0])
    worker_process.get_ready()
    worker_process.enter_folder(Path(request["folder"]), request.get("writable"))
    journal = Journal(Path("journal.jsonl"))
    journal.emit(WorkerStarted(os.getpid(), platform.python_version(), time.monotonic(), VERSION))
    job = codec.decode(ProbeJob, strict_json.parse(Path(request["job"]).read_bytes()))
    worker_process.leave(_tell(job.plugin, journal))


def _tell(plugin: Mapping[str, str], journal: Journal) -> int:
    """Tell of the environment, then of its plug-in's registration; returns the exit status."""
    journal.emit(Began(Stage.LOAD, time.monotonic()))
    found = look_around()
    journal.emit(found)
    ort = sys.modules.get("onnxruntime")
    if plugin and ort is not None and "onnxruntime" not in found.errors:
        journal.emit(Began(Stage.REGISTER, time.monotonic()))
        try:
            journal.emit(with_plugin(found, ort, plugin))
        except Exception as e:
            traceback.print_exc()
            journal.emit(ExceptionRaised(Stage.REGISTER, type(e).__name__, str(e)))
            return 1
    journal.emit(Finished(time.monotonic()))
    return 0


def probe_environment(plugin: Mapping[str, str]) -> Probed:
    """What this interpreter has, for who runs in it already; a plug-in that raises is one of the errors."""
    found = look_around()
    ort = sys.modules.get("onnxruntime")
    if not plugin or ort is None or "onnxruntime" in found.errors:
        return found
    try:
        return with_plugin(found, ort, plugin)
    except Exception as e:
        return replace(found, errors={**found.errors, "plugin": f"{type(e).__name__}: {e}"})


def look_around() -> Probed:
    """What this interpreter has; the engine is imported, no session is made."""
    errors = {}
    for module in ("numpy", "onnxruntime"):
        try:
            __import__(module)
        except Exception as e:
            errors[module] = f"{type(e).__name__}: {e}"
    versions = {"python": platform.python_version(), **_distributions()}
    ort = sys.modules.get("onnxruntime")
    package = Path(ort.__path__[0]) if ort else None
    libraries = engine_libraries.digest_libraries(sys.path, package)
    if ort is None or "onnxruntime" in errors:
        return Probed(versions, errors=errors, libraries=libraries)
    providers = tuple(ort.get_available_providers())
    return Probed(versions | _build_info(ort), providers, errors, libraries=libraries)


def with_plugin(found: Probed, ort: Any, plugin: Mapping[str, str]) -> Probed:
    """What was found, and what a plug-in offers once registered; what the engine raises is raised."""
    from perf.backends import Unsupported
    from perf.backends import plugin as plugins

    library = Path(plugins.library_path(plugin["library"]))
    found = replace(
        found,
        versions={**found.versions, **_plugin_version(plugin)},
        libraries={**found.libraries, library.name: digest_file(library)},
    )
    try:
        devices = tuple(plugins.list_devices(ort, plugin))
    except Unsupported as e:
        return replace(found, errors={**found.errors, "plugin": str(e)})
    return replace(found, plugin_devices=devices)


def _distributions() -> dict[str, str]:
    seen = {}
    for dist in importlib.metadata.distributions():
        name = str(dist.metadata["Name"] or "").lower()
        if name.replace("_", "-").startswith(INTERESTING):
            seen[name] = dist.version
    return dict(sorted(seen.items()))


def _plugin_version(plugin: Mapping[str, str]) -> dict[str, str]:
    """The distribution that brings a plug-in's library, where the library is named by its package."""
    package = plugin["library"].partition(":")[0]
    named = importlib.metadata.packages_distributions().get(package, [])
    return {name.lower(): importlib.metadata.version(name) for name in named[:1]}


def _build_info(ort: Any) -> dict[str, str]:
    info = {"onnxruntime (loaded)": str(getattr(ort, "__version__", ""))}
    text = getattr(ort, "get_build_info", lambda: "")()
    if text:
        info["onnxruntime build"] = " ".join(str(text).split())
    with contextlib.suppress(ImportError):  # not every build ships the module
        from onnxruntime.capi import build_and_package_info as package

        for key in ("cuda_version", "cudnn_version"):
            if value := getattr(package, key, ""):
                info[f"onnxruntime {key}"] = str(value)
    return info


if __name__ == "__main__":
    main(sys.argv[1:])
