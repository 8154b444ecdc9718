"""An execution provider that is a library of its own, registered when a session is opened."""

import importlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from perf.backends import Backend, ProbeResult, Session, Unsupported
from perf.backends._ort.provider import missing_provider
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.schema.cell import Cell

_CALL = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)\(\)")


def register(cell: Cell) -> None:
    """Have the engine load the plug-in's library; what it raises is raised."""
    import onnxruntime as ort

    register_plugin(ort, cell.plugin, cell.plugin.get("ep_name", cell.target.name))


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on the first device that the plug-in named in `cell.plugin` offers."""
    import onnxruntime as ort

    name = cell.plugin.get("ep_name", cell.target.name)
    offered = register_plugin(ort, cell.plugin, name)
    if not offered:
        name = cell.plugin.get("ep_name", cell.target.name)
        raise Unsupported(
            f"no device: the plug-in was registered, and offers none for {name} here"
        )
    device = offered[min(cell.device, len(offered) - 1)]
    on_host = device.device.type == ort.OrtHardwareDeviceType.CPU
    spec = SessionSpec(
        cell.model.path,
        (),
        device="cpu" if on_host else "",
        devices=(device,),
        device_options=cell.options,
    )
    return OrtSession.open(cell, launch_dir, spec)


def register_plugin(ort: Any, plugin: Mapping[str, str], ep_name: str) -> list[Any]:
    """The plug-in's OrtEpDevices, those of any EP where `ep_name` is ""; it is registered once a process.

    Raises Unsupported where this ORT cannot.
    """
    if not hasattr(ort, "register_execution_provider_library"):
        raise Unsupported(f"onnxruntime {ort.__version__} takes no plug-ins; 1.22 or newer does")
    path = library_path(plugin["library"])
    if not _devices_of(ort, path):
        registration = plugin.get("registration") or ep_name or plugin["target"]
        ort.register_execution_provider_library(registration, path)
    return [d for d in _devices_of(ort, path) if ep_name in ("", d.ep_name)]


def _devices_of(ort: Any, path: str) -> list[Any]:
    return [d for d in ort.get_ep_devices() if d.ep_metadata.get("library_path") == path]


def list_devices(ort: Any, plugin: Mapping[str, str]) -> list[str]:
    """For a probe: the plug-in's EP, once for each device it offers; the engine's errors are raised."""
    return [str(d.ep_name) for d in register_plugin(ort, plugin, plugin.get("ep_name", ""))]


def library_path(library: str) -> str:
    """A path as it is; `package:function()` as what that function returns. Raises Unsupported."""
    call = _CALL.fullmatch(library)
    if call is None:
        if not Path(library).is_file():
            raise Unsupported(f"the plug-in's library {library} is not there")
        return library
    package, function = call.groups()
    try:
        return str(getattr(importlib.import_module(package), function)())
    except (ImportError, AttributeError, OSError) as e:
        raise Unsupported(f"the plug-in's library {library}: {e}; install {package}") from e


def missing(found: ProbeResult) -> str:
    """It needs an ONNX Runtime, and a device that the probe saw after registering the plug-in."""
    if reason := missing_provider(found, "CPUExecutionProvider", "onnxruntime 1.22 or newer"):
        return reason
    if error := found.errors.get("plugin"):
        return f"the plug-in cannot be registered: {error}"
    if not found.plugin_devices:
        return "no device: the plug-in was registered, and offers none on this machine"
    return ""


BACKEND = Backend(
    targets=(),  # declared in environments.toml: plugin = { target, library, ep_name }
    open=open_session,
    register=register,
    missing=missing,
    preload=("numpy", "onnxruntime"),
    serves_plugins=True,
)
