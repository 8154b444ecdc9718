"""A GPU as NVML knows it, by UUID, and the environment variables that give a process that one alone."""

from collections.abc import Mapping
from dataclasses import dataclass


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


def alone(gpu: Gpu) -> Mapping[str, str]:
    """Variables under which a process sees this device only, as its device 0."""
    return {"CUDA_VISIBLE_DEVICES": gpu.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def chosen(gpus: tuple[Gpu, ...], wanted: str) -> tuple[Gpu, ...]:
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


def visible(gpus: tuple[Gpu, ...], setting: str | None) -> tuple[Gpu, ...]:
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


def ordinal(device: int, visible_devices: str | None) -> int:
    """The number under which a process knows its device: 0 where the variable leaves it one alone."""
    alone_in = (
        visible_devices is not None and visible_devices.strip() and "," not in visible_devices
    )
    return 0 if alone_in else device
