import sys
import time
from pathlib import Path

from benchmarks import watching

BUSY = """
import time
held = bytearray(64 << 20)
end = time.process_time() + 0.3
while time.process_time() < end: pass
print("done")
time.sleep(0.1)
"""


def test_a_process_is_seen_to_use_what_it_uses(tmp_path: Path) -> None:
    seen = watching.watch([sys.executable, "-c", BUSY], tmp_path / "log", every_s=0.02)
    assert (seen.status, seen.output) == (0, "done\n")
    assert 0.3 <= seen.looks[-1].cpu_s <= seen.tree_cpu_s + 0.05
    assert max(x.rss_mib for x in seen.looks) > 64
    assert seen.looks[-1].at_s <= seen.ended_s <= time.monotonic()
    inside = seen.between(seen.looks[1].at_s, seen.looks[3].at_s)
    assert inside == seen.looks[1:4]


def test_nothing_is_seen_of_a_process_that_is_not_there() -> None:
    assert watching.look(2**22 + 1) is None
