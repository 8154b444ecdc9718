"""Run inside an environment, writes what is really there: versions, providers, plug-in devices."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def main(argv: Sequence[str]) -> int:
    """`probe.py OUT PLUGIN_JSON`; what fails to import becomes an entry of `errors`."""
    if argv[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0
    Path(argv[0]).write_text(json.dumps(probe_environment(json.loads(argv[1]))), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # an engine's exit handlers are not what is asked about


def probe_environment(plugin: Mapping[str, str]) -> dict[str, Any]:
    """What this interpreter has, as `Found` names it; the engine is imported, no session is made."""
    found: dict[str, Any] = {"providers": [], "plugin_devices": [], "errors": {}}
    found["versions"] = {"python": platform.python_version(), **_distributions()}
    for module in ("numpy", "onnxruntime"):
        try:
            __import__(module)
        except Exception as e:
            found["errors"][module] = f"{type(e).__name__}: {e}"
    ort = sys.modules.get("onnxruntime")
    if ort is not None and "onnxruntime" not in found["errors"]:
        found["providers"] = list(ort.get_available_providers())
        found["versions"] |= _build_info(ort)
        if plugin:
            found["versions"] |= _plugin_version(plugin)
            _plugin_devices(ort, plugin, found)
    return found


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


def _plugin_devices(ort: Any, plugin: Mapping[str, str], found: dict[str, Any]) -> None:
    from perf.backends import plugin as plugins

    try:
        found["plugin_devices"] = plugins.list_devices(ort, plugin)
    except Exception as e:
        found["errors"]["plugin"] = f"{type(e).__name__}: {e}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
