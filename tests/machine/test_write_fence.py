"""What a confined process may still write: its own folder, and the names of its own threads."""

import subprocess
import sys
from pathlib import Path

from perf.machine.write_fence import landlock_abi
from tests.asking import ROOT

CONFINED = """
import sys, threading
from pathlib import Path
from perf.machine.write_fence import confine_writes
started, done = threading.Event(), threading.Event()
named = threading.Thread(target=lambda: (started.set(), done.wait()))
named.start(); started.wait()
print(repr(confine_writes([Path(sys.argv[1])])))
for path in (f"/proc/self/task/{named.native_id}/comm", sys.argv[1] + "/in", sys.argv[2] + "/out"):
    try:
        Path(path).write_text("cuda-EvtHandlr")
        print("written")
    except OSError as e:
        print(e.strerror)
done.set()
"""


def test_it_names_its_threads_as_cudas_driver_does_and_writes_nowhere_else(tmp_path: Path) -> None:
    """Recorded on an H200: without the names of threads cuInit gives error 304, and no CUDA cell can run."""
    assert landlock_abi(), "this kernel has no Landlock: nothing here is confined"
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(inside), str(outside)], cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["None", "written", "written", "Permission denied"]
