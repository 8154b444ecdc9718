"""The machine a run measured: host, container limits, devices, environments and the harness's own commit."""

import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from perf.machine.gpus import Gpu
from perf.machine.write_fence import landlock_abi
from perf.request.locations import CODE, read_commit
from perf.schema.cell import Environment

NAMED = (
    "EP_PERF_HOST"  # names a machine whose own name says nothing: a container, one of two nodes
)
NO_LIMIT_BYTES = 1 << 60  # cgroup v1 says "no limit" with a number near 2^63


@dataclass(frozen=True)
class SystemInfo:
    """What a number depends on besides its cell; "" or None where this machine does not tell."""

    hostname: str
    os: str
    kernel: str
    architecture: str
    cpu: str
    logical_cores: int
    usable_cores: int  # those this process may run on
    physical_cores: int | None
    cpu_quota_cores: float | None  # the container's; None: none set
    governor: str
    memory_mib: float | None
    memory_limit_mib: float | None  # the container's; None: none set
    boot_id: str
    gpus: tuple[Gpu, ...] = ()
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    interpreters: Mapping[str, str] = field(default_factory=dict)
    harness_commit: str = ""
    libraries: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # sha256, as environments
    write_fence: str = ""  # what keeps workers from writing outside their folders


@dataclass(frozen=True)
class Difference:
    """One fact in which two systems differ."""

    fact: str
    before: str
    after: str


def gather_system(
    environments: Sequence[Environment],
    gpus: Sequence[Gpu] = (),
    libraries: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    root: Path = Path("/"),
    harness: Path = CODE,
) -> SystemInfo:
    """Read this machine's account of itself from files below `root`; never raises for what is missing."""
    cpuinfo = _text(root / "proc/cpuinfo")
    governors = {
        _text(p) for p in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
    }
    groups = cgroup_folders(root)
    return SystemInfo(
        hostname=os.environ.get(NAMED, "") or socket.gethostname(),
        os=_os_release(root) or platform.system(),
        kernel=_text(root / "proc/sys/kernel/osrelease") or platform.release(),
        architecture=platform.machine(),
        cpu=_cpu_model(cpuinfo) or platform.machine(),
        logical_cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        physical_cores=_physical_cores(cpuinfo),
        cpu_quota_cores=min((q for g in groups if (q := _quota(g)) is not None), default=None),
        governor=", ".join(sorted(governors - {""})),
        memory_mib=_memory_mib(root),
        memory_limit_mib=min((m for g in groups if (m := _limit(g)) is not None), default=None),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        gpus=tuple(gpus),
        environments={e.name: dict(e.versions) for e in environments},
        interpreters={e.name: e.python for e in environments},
        harness_commit=read_commit(harness),
        libraries={name: dict(found) for name, found in libraries.items()},
        write_fence=f"Landlock ABI {abi}"
        if (abi := landlock_abi())
        else "none: the kernel has no Landlock",
    )


def describe_machine(info: SystemInfo) -> str:
    """The machine in one line; list_specs has all of it."""
    cores = f"{info.usable_cores} cores"
    if info.cpu_quota_cores is not None:
        cores += f" (quota {info.cpu_quota_cores:g})"
    memory = "" if info.memory_mib is None else f"{info.memory_mib / 1024:.1f} GiB"
    gpus = ", ".join(g.name for g in info.gpus) or "no GPU"
    return ", ".join(filter(None, (info.os, info.cpu, cores, memory, gpus)))


def list_specs(info: SystemInfo) -> tuple[tuple[str, str], ...]:
    """Every fact as a name and a text, units in the name; what is unknown is "", and has its row."""
    out: list[tuple[str, str]] = []
    names = {"cpu": "CPU", "os": "OS", "cpu_quota_cores": "container CPU quota (cores)"}
    names |= {"memory_mib": "memory (MiB)", "memory_limit_mib": "container memory limit (MiB)"}
    for f in fields(info):
        value = getattr(info, f.name)
        if value is None or isinstance(value, str | int | float):
            text = "" if value is None else value if isinstance(value, str) else f"{value:g}"
            if isinstance(value, int):
                text = str(value)
            out.append((names.get(f.name, f.name.replace("_", " ")), text))
    for gpu in info.gpus:
        limit = "" if gpu.board_limit_w is None else f", board limit {gpu.board_limit_w:g} W"
        out.append((f"GPU {gpu.uuid}", f"{gpu.name}, {gpu.memory_mib:g} MiB{limit}"))
        out.append((f"GPU {gpu.uuid} driver", gpu.driver))
        out.append((f"GPU {gpu.uuid} CUDA of the driver", gpu.cuda_driver))
    if not info.gpus:
        out += [("GPU", ""), ("GPU driver", ""), ("CUDA of the driver", "")]
    for what, prefix in (("cuDNN", "nvidia-cudnn"), ("TensorRT", "tensorrt")):
        if not any(v.startswith(prefix) for found in info.environments.values() for v in found):
            out.append((what, ""))
    for name, python in info.interpreters.items():
        out.append((f"{name}: interpreter", python))
    for name, versions in info.environments.items():
        out += [(f"{name}: {what}", version) for what, version in sorted(versions.items())]
    for name, libraries in info.libraries.items():
        out += [
            (f"{name}: sha256 of {what}", digest) for what, digest in sorted(libraries.items())
        ]
    return tuple(out)


def list_differences(before: SystemInfo, after: SystemInfo) -> tuple[Difference, ...]:
    """Facts in which two systems differ, "" for one that the other lacks; the order is `before`'s."""
    a, b = dict(list_specs(before)), dict(list_specs(after))
    return tuple(
        Difference(fact, a.get(fact, ""), b.get(fact, ""))
        for fact in dict.fromkeys([*a, *b])
        if a.get(fact, "") != b.get(fact, "")
    )


def cgroup_folders(root: Path = Path("/")) -> tuple[Path, ...]:
    """Folders of the control groups this process is in, with their parents, v2 and v1 alike."""
    return tuple(dict.fromkeys(_cgroups(root)))


def _cgroups(root: Path) -> Iterator[Path]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        mount = root / "sys/fs/cgroup"
        if controllers:
            mount = mount / controllers
        inner = [p for p in path.split("/") if p and p != ".."]
        for depth in range(len(inner), -1, -1):
            yield mount.joinpath(*inner[:depth])
    for controller in ("", "cpu", "memory"):  # mounted where the paths above do not lead
        yield root / "sys/fs/cgroup" / controller


def _quota(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not quota:
        quota = _text(group / "cpu.cfs_quota_us")
        period = _text(group / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # "max", -1, or not told
    return int(quota) / int(period)


def _limit(group: Path) -> float | None:
    text = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
    if not text.isdigit() or int(text) >= NO_LIMIT_BYTES:
        return None
    return int(text) / 2**20


def _os_release(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip('"')
    return ""


def _cpu_model(cpuinfo: str) -> str:
    for key in ("model name", "Model", "cpu model", "Hardware"):
        for line in cpuinfo.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return ""


def _physical_cores(cpuinfo: str) -> int | None:
    cores, package = set(), ""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "physical id":
            package = value.strip()
        elif name.strip() == "core id":
            cores.add((package, value.strip()))
    return len(cores) or None


def _memory_mib(root: Path) -> float | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal" and value.split():
            return int(value.split()[0]) / 1024
    return None


def _text(path: Path) -> str:
    """A small file's text without its last newline; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
