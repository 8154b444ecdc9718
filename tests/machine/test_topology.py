"""Cores of lanes, by folders laid out as the kernel's own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from perf.machine.gpus import Gpu
from perf.machine.topology import TooFewCores, parse_cpus, read_node, share_out_cores


def gpu(number: int, pci: str = "") -> Gpu:
    return Gpu(number, f"GPU-{number}", "Imaginary", 1.0, "580.1", "13.0", None, "9.0", pci)


def machine(
    folder: Path,
    nodes: Mapping[int, str],
    siblings: int = 1,
    boards: Mapping[str, int] | None = None,
) -> Path:
    """A machine of NUMA nodes; CPU n and n + half of all are one core where it has two siblings."""
    cpus = [cpu for cpulist in nodes.values() for cpu in parse_cpus(cpulist)]
    half = len(cpus) // siblings
    for node, cpulist in nodes.items():
        written(folder / f"devices/system/node/node{node}/cpulist", cpulist)
    for cpu in cpus:
        alike = ",".join(str(cpu % half + half * i) for i in range(siblings))
        written(folder / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", alike)
    for address, node in (boards or {}).items():
        written(folder / "bus/pci/devices" / address / "numa_node", str(node))
    return folder


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}\n", encoding="ascii")


ONE, TWO = gpu(0, "00000000:1B:00.0"), gpu(1, "00000001:AC:00.0")
ADDRESSES = ("0000:1b:00.0", "0001:ac:00.0")


def test_each_lane_has_cores_of_its_gpus_own_node(tmp_path: Path) -> None:
    boards = dict(zip(ADDRESSES, (1, 0), strict=True))
    sysfs = machine(tmp_path, {0: "0-7", 1: "8-15"}, boards=boards)
    first, second = share_out_cores((ONE, TWO), range(16), sysfs)
    assert (first, second) == (tuple(range(8, 15)), tuple(range(7))), "a core is left for others"


def test_two_gpus_of_one_node_share_its_cores_and_leave_the_other_nodes(tmp_path: Path) -> None:
    boards = dict.fromkeys(ADDRESSES, 1)
    sysfs = machine(tmp_path, {0: "0-7", 1: "8-15"}, boards=boards)
    assert share_out_cores((ONE, TWO), range(16), sysfs) == ((8, 9, 10, 11), (12, 13, 14, 15))


def test_siblings_of_one_core_are_never_in_two_lanes(tmp_path: Path) -> None:
    sysfs = machine(tmp_path, {0: "0-7"}, siblings=2)
    first, second = share_out_cores((gpu(0), gpu(1)), range(8), sysfs)
    assert (first, second) == ((0, 4), (1, 5))


def test_a_core_of_which_a_sibling_may_not_be_used_is_in_no_lane(tmp_path: Path) -> None:
    sysfs = machine(tmp_path, {0: "0-7"}, siblings=2)
    with pytest.raises(
        TooFewCores, match="2 lanes need as many whole cores, and this process may use 1"
    ):
        share_out_cores((gpu(0), gpu(1)), (0, 1, 2, 4), sysfs)


@pytest.mark.parametrize("node", [-1, None])
def test_where_no_node_is_told_lanes_share_the_whole_machine(
    tmp_path: Path, node: int | None
) -> None:
    boards = {} if node is None else dict.fromkeys(ADDRESSES, node)
    sysfs = machine(tmp_path, {0: "0-1", 1: "2-3"}, boards=boards)
    assert read_node(ONE, sysfs) is None
    assert share_out_cores((ONE, TWO), range(4), sysfs) == ((0,), (1,))


def test_a_node_without_cores_for_its_gpus_is_no_ground_to_refuse(tmp_path: Path) -> None:
    boards = dict.fromkeys(ADDRESSES, 1)
    sysfs = machine(tmp_path, {0: "0-5", 1: "6"}, boards=boards)
    assert share_out_cores((ONE, TWO), range(7), sysfs) == ((0, 1, 2), (3, 4, 5))


def test_without_any_account_of_the_kernels_each_cpu_is_a_core(tmp_path: Path) -> None:
    assert share_out_cores((gpu(0), gpu(1)), (3, 9), tmp_path) == ((3,), (9,))


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-2,8\n", (0, 1, 2, 8)), ("5", (5,)), ("", ()), ("a-b", ()), ("1-", (1,))]
)
def test_a_list_of_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus
