"""The GPUs of this machine as NVML lists them, and NVML itself, started once and left running."""

import importlib
import os
from typing import Any

from perf.core.devices import Gpu, chosen, visible
from perf.core.options import BadRequestError

MIB = 1024 * 1024


def gpus(nvml: Any = None, setting: str | None = None) -> tuple[Gpu, ...]:
    """The devices a process may use, CUDA_VISIBLE_DEVICES applied; () without NVML, driver or device.

    `nvml` is pynvml unless given; `setting` replaces the variable. A device that answers with an error is
    left out. Never raises for what NVML does.
    """
    library = started(nvml)
    if library is None:
        return ()
    found = []
    try:
        driver = _text(library.nvmlSystemGetDriverVersion())
        cuda = int(library.nvmlSystemGetCudaDriverVersion_v2())
        count = int(library.nvmlDeviceGetCount())
    except library.NVMLError:
        return ()
    for index in range(count):
        try:
            found.append(_gpu(library, index, driver, f"{cuda // 1000}.{cuda % 1000 // 10}"))
        except library.NVMLError:
            continue  # one broken board does not hide the others
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES") if setting is None else setting
    return visible(tuple(found), chosen)


def used(gpus: tuple[Gpu, ...], wanted: str) -> tuple[Gpu, ...]:
    """The devices that `--devices` names, the first one where it names none; raises BadRequestError."""
    if not wanted:
        return gpus[:1]
    try:
        return chosen(gpus, wanted)
    except ValueError as e:
        raise BadRequestError(str(e)) from e


def started(nvml: Any) -> Any:
    """NVML, initialised, or None. It is never shut down: without persistence mode that would unload the
    driver's state between launches and make each one's first CUDA call slow."""
    try:
        library = importlib.import_module("pynvml") if nvml is None else nvml
        library.nvmlInit()
    except (ImportError, OSError):
        return None
    except library.NVMLError:
        return None
    return library


def _gpu(library: Any, index: int, driver: str, cuda: str) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    try:
        limit_w: float | None = library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    except library.NVMLError:
        limit_w = None
    return Gpu(
        index=index,
        uuid=_text(library.nvmlDeviceGetUUID(handle)),
        name=_text(library.nvmlDeviceGetName(handle)),
        memory_mib=library.nvmlDeviceGetMemoryInfo(handle).total / MIB,
        driver=driver,
        cuda_driver=cuda,
        board_limit_w=limit_w,
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
