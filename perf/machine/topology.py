"""Which cores lie near which GPU, as the kernel tells it, and how lanes share them out."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.machine.gpus import Gpu
from perf.schema.untrusted_file import read_regular

SYSFS = Path("/sys")
_LIMIT = 1 << 16  # bytes of a file of sysfs


class TooFewCores(Exception):
    """There is no whole core for each lane; the message says how many there are."""


@dataclass(frozen=True)
class Core:
    """One physical core: its CPUs as the kernel numbers them, and the NUMA node that it is of."""

    cpus: tuple[int, ...]
    node: int | None  # None: the kernel tells of no nodes


def share_out_cores(
    gpus: Sequence[Gpu], usable: Collection[int], sysfs: Path = SYSFS
) -> tuple[tuple[int, ...], ...]:
    """CPUs for each GPU's lane: whole cores, as many for each, none in two lanes, near their GPU.

    A core is left out for the wrapper where there are more than lanes. Where a GPU's node is not told, or
    has no core for each of its lanes, all of them take what is there. Raises TooFewCores.
    """
    cores = read_cores(usable, sysfs)
    if len(cores) < len(gpus):
        raise TooFewCores(
            f"{len(gpus)} lanes need as many whole cores, and this process may use {len(cores)}"
        )
    nodes = [read_node(gpu, sysfs) for gpu in gpus]
    near = [tuple(c for c in cores if c.node == node) for node in nodes]
    each = min(len(c) // nodes.count(node) for c, node in zip(near, nodes, strict=True))
    if None in nodes or not each:
        near, each = [cores for _ in gpus], len(cores) // len(gpus)
    if each > 1 and each * len(gpus) == len(cores):
        each -= 1
    taken: set[Core] = set()
    lanes = []
    for mine in near:
        chosen = [c for c in mine if c not in taken][:each]
        taken.update(chosen)
        lanes.append(tuple(sorted(cpu for core in chosen for cpu in core.cpus)))
    return tuple(lanes)


def read_cores(usable: Collection[int], sysfs: Path = SYSFS) -> tuple[Core, ...]:
    """The cores of which every CPU may be used; a CPU whose siblings are not told is one of its own."""
    nodes = dict(_nodes_by_cpu(sysfs))
    found: dict[tuple[int, ...], None] = {}
    for cpu in sorted(usable):
        told = _read(sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        found[tuple(parse_cpus(told)) or (cpu,)] = None
    return tuple(Core(cpus, nodes.get(cpus[0])) for cpus in found if set(cpus) <= set(usable))


def read_node(gpu: Gpu, sysfs: Path = SYSFS) -> int | None:
    """The NUMA node that a GPU is attached to; None where neither NVML nor the kernel tells."""
    domain, _, rest = gpu.pci.lower().partition(":")
    try:
        address = f"{int(domain, 16):04x}:{rest}"  # NVML writes the domain in eight digits
        node = int(_read(sysfs / "bus/pci/devices" / address / "numa_node"))
    except ValueError:
        return None
    return node if node >= 0 else None


def parse_cpus(text: str) -> tuple[int, ...]:
    """The CPUs of a list as the kernel writes it, 0-3,8; none of what is no such list."""
    out: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return ()
        out += range(int(first), int(last or first) + 1)
    return tuple(out)


def _nodes_by_cpu(sysfs: Path) -> Iterator[tuple[int, int]]:
    for folder in (sysfs / "devices/system/node").glob("node[0-9]*"):
        for cpu in parse_cpus(_read(folder / "cpulist")):
            yield cpu, int(folder.name.removeprefix("node"))


def _read(path: Path) -> str:
    """What the kernel tells there; "" where it does not."""
    try:
        return read_regular(path, _LIMIT, follow=True).decode("ascii", "replace")
    except OSError:
        return ""
