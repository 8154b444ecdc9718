"""A GPU as NVML knows it, by UUID, and the environment variables that give a process that one alone."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perf.request.options import BadRequestError


@dataclass(frozen=True)
class Gpu:
    """One device; the UUID is its name across reboots, processes and orderings."""

    index: int  # NVML's own, in PCI bus order
    uuid: str
    name: str
    memory_mib: float
    driver: str
    cuda_driver: str  # the newest CUDA that the driver serves: 13.0
    board_limit_w: (
        float | None
    )  # the power limit enforced; a board's nominal figure, not a measurement
    compute_capability: str = ""  # 9.0; "": NVML does not say
    pci: str = ""  # its address on the bus, as NVML writes it: 00000000:1B:00.0


def variables_for(gpu: Gpu) -> Mapping[str, str]:
    """Variables under which a process sees this device only, as its device 0."""
    return {"CUDA_VISIBLE_DEVICES": gpu.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def choose_gpus(gpus: tuple[Gpu, ...], wanted: str) -> tuple[Gpu, ...]:
    """Devices named by `--devices 0,1`: positions in `gpus`, or UUIDs or the beginning of one.

    Raises ValueError for a device that is not there or is named twice; "" names them all.
    """
    if not wanted.strip():
        return gpus
    out: list[Gpu] = []
    for word in (w.strip() for w in wanted.split(",")):
        matches = [g for i, g in enumerate(gpus) if word == str(i) or _is_uuid(word, g)]
        if len(matches) != 1:
            seen = ", ".join(f"{i}={g.name}" for i, g in enumerate(gpus)) or "none"
            raise ValueError(f"--devices {wanted}: no one device is {word!r}; visible: {seen}")
        if matches[0] in out:
            raise ValueError(f"--devices {wanted}: {word} is named twice")
        out.append(matches[0])
    return tuple(out)


def visible_gpus(gpus: tuple[Gpu, ...], setting: str | None) -> tuple[Gpu, ...]:
    """What CUDA_VISIBLE_DEVICES leaves of all devices, in its order, as CUDA reads it.

    None (unset) leaves all; the first entry that names no device ends the list, so "" and "-1" leave none.
    """
    if setting is None:
        return gpus
    out: list[Gpu] = []
    for word in (w.strip() for w in setting.split(",")):
        match = [g for g in gpus if word == str(g.index) or _is_uuid(word, g)]
        if len(match) != 1 or match[0] in out:
            break
        out.append(match[0])
    return tuple(out)


def _is_uuid(word: str, gpu: Gpu) -> bool:
    return word.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(word)


def device_ordinal(device: int, visible_devices: str | None) -> int:
    """The number under which a process knows its device: 0 where the variable leaves it one alone."""
    alone_in = (
        visible_devices is not None and visible_devices.strip() and "," not in visible_devices
    )
    return 0 if alone_in else device


MIB = 1024 * 1024


def find_gpus(nvml: Any = None, setting: str | None = None) -> tuple[Gpu, ...]:
    """The devices a process may use, CUDA_VISIBLE_DEVICES applied; () without NVML, driver or device.

    `nvml` is pynvml unless given; `setting` replaces the variable. A device that answers with an error is
    left out. Never raises for what NVML does.
    """
    library = start_nvml(nvml)
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
    return visible_gpus(tuple(found), chosen)


def gpus_to_use(gpus: tuple[Gpu, ...], wanted: str) -> tuple[Gpu, ...]:
    """The devices that `--devices` names, the first one where it names none; raises BadRequestError."""
    if not wanted:
        return gpus[:1]
    try:
        return choose_gpus(gpus, wanted)
    except ValueError as e:
        raise BadRequestError(str(e)) from e


def start_nvml(nvml: Any) -> Any:
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
        compute_capability=_compute_capability(library, handle),
        pci=_pci_address(library, handle),
    )


def _compute_capability(library: Any, handle: Any) -> str:
    ask = getattr(library, "nvmlDeviceGetCudaComputeCapability", None)
    if ask is None:  # an older binding
        return ""
    try:
        return ".".join(map(str, ask(handle)))
    except library.NVMLError:
        return ""


def _pci_address(library: Any, handle: Any) -> str:
    ask = getattr(library, "nvmlDeviceGetPciInfo", None)
    if ask is None:
        return ""
    try:
        return _text(ask(handle).busId)
    except library.NVMLError:
        return ""


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
