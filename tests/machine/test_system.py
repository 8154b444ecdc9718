"""A machine's account of itself, from trees of files like those the kernel shows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perf.machine import system
from perf.request import locations
from perf.schema import codec
from perf.schema.cell import Environment
from tests.results import hand_made as made

CPUINFO = """\
processor\t: 0
model name\t: Some CPU @ 2.0GHz
physical id\t: 0
core id\t\t: 0

processor\t: 1
model name\t: Some CPU @ 2.0GHz
physical id\t: 0
core id\t\t: 0

processor\t: 2
physical id\t: 1
core id\t\t: 0
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    """Files below a root, as /proc and /sys have them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def gathered(root: Path, files: dict[str, str]) -> system.SystemInfo:
    """What a machine with these files says."""
    return system.gather_system((), (), {}, tree(root, files), root / "no-checkout")


def test_this_machine_tells_of_itself() -> None:
    found = system.gather_system((Environment("e", "python", {}, {"onnxruntime": "1.0"}),))
    assert found.kernel
    assert found.cpu
    assert found.boot_id
    assert found.memory_mib is not None
    assert found.memory_mib > 100
    assert 1 <= found.usable_cores <= found.logical_cores
    assert found.environments == {"e": {"onnxruntime": "1.0"}}
    assert codec.decode(system.SystemInfo, json.loads(json.dumps(codec.encode(found)))) == found


def test_a_machine_that_tells_nothing_is_unknown_and_no_error(tmp_path: Path) -> None:
    found = gathered(tmp_path, {})
    assert (found.cpu_quota_cores, found.memory_mib, found.memory_limit_mib) == (None, None, None)
    assert (found.governor, found.boot_id, found.harness_commit) == ("", "", "")
    assert found.physical_cores is None


def test_cpu_os_governor_and_memory(tmp_path: Path) -> None:
    found = gathered(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            "proc/meminfo": "MemTotal:        2097152 kB\nMemFree: 1 kB\n",
            "proc/sys/kernel/osrelease": "6.1.0\n",
            "proc/sys/kernel/random/boot_id": "abc\n",
            "etc/os-release": 'NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
        },
    )
    assert found.cpu == "Some CPU @ 2.0GHz"
    assert found.physical_cores == 2
    assert found.memory_mib == 2048
    assert (found.kernel, found.boot_id) == ("6.1.0", "abc")
    assert found.os == "Debian GNU/Linux 12 (bookworm)"
    assert found.governor == "performance, powersave"


@pytest.mark.parametrize(
    ("files", "cores", "limit"),
    [
        ({"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ({"cpu.max": "150000 100000", "memory.max": "1073741824"}, 1.5, 1024),
        ({"a/cpu.max": "50000 100000", "cpu.max": "150000 100000"}, 0.5, None),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0, None),
        ({"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, None, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None, None),
        ({"memory/a/memory.limit_in_bytes": "536870912"}, None, 512),
        ({"cpu.max": "nonsense"}, None, None),
        ({"cpu.max": "100000 0"}, None, None),
    ],
)
def test_container_limits_of_both_cgroup_versions(
    files: dict[str, str], cores: float | None, limit: float | None, tmp_path: Path
) -> None:
    told = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    groups = "4:memory:/a\n1:cpu:/a/b\n0::/a/b\n"
    found = gathered(tmp_path, {**told, "proc/self/cgroup": groups})
    assert (found.cpu_quota_cores, found.memory_limit_mib) == (cores, limit)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({}, ""),
        ({".git/HEAD": COMMIT + "\n"}, COMMIT),
        ({".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": COMMIT + "\n"}, COMMIT),
        (
            {
                ".git/HEAD": "ref: refs/heads/main\n",
                ".git/packed-refs": f"# pack-refs\nffff refs/heads/other\n{COMMIT} refs/heads/main\n",
            },
            COMMIT,
        ),
        ({".git/HEAD": "ref: refs/heads/unborn\n"}, ""),
        (
            {
                ".git": "gitdir: store/worktrees/w\n",
                "store/worktrees/w/HEAD": "ref: refs/heads/w\n",
                "store/worktrees/w/commondir": "../..\n",
                "store/refs/heads/w": COMMIT,
            },
            COMMIT,
        ),
    ],
)
def test_the_commit_is_read_from_gits_files(
    files: dict[str, str], commit: str, tmp_path: Path
) -> None:
    assert locations.read_commit(tree(tmp_path, files)) == commit


def test_differences_name_the_fact_and_both_sides() -> None:
    before = made.host()
    after = replace(
        before,
        kernel="6.2.0",
        environments={"default": {"onnxruntime": "1.32.0"}},
        gpus=(),
        cpu_quota_cores=None,
    )
    assert system.list_differences(before, before) == ()
    found = {d.fact: (d.before, d.after) for d in system.list_differences(before, after)}
    assert found["kernel"] == ("6.1.0", "6.2.0")
    assert found["default: onnxruntime"] == ("1.31.1", "1.32.0")
    assert found["default: numpy"] == ("2.4.6", "")
    assert found["container CPU quota (cores)"] == ("1.5", "")
    assert found["GPU GPU-1 driver"] == ("550.1", "")
    assert len(found) == 7
