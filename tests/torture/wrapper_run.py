"""Runs the wrapper against vandals, and measures its memory and how long it took to end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.asking import ROOT, Said

VANDAL = f"""
drop = ["*"]

[current]
python = "current"

[vandal]
python = "current"
backend = "{Path(__file__).with_name("vandal.py")}"
targets = ["VandalExecutionProvider"]
default = false
"""
LIMIT_S = 600


@dataclass(frozen=True)
class Attempt:
    """How a run under attack ended, after how long, and the most memory that its wrapper held."""

    said: Said
    seconds: float
    wrapper_mib: float


def attack(home: Path, attacks: Sequence[str], *words: str) -> Attempt:
    """One run: the CPU EP's cells, and a cell of each attack."""
    (home / "environments.toml").write_text(VANDAL, encoding="utf-8")
    argv = [
        sys.executable, str(ROOT / "benchmark_wrapper.py"), "-m", "models", "--models", "relu",
        "-i", "zoo", "-t", "3", "--launches", "1", "--warmup", "0", "--timeout", "20",
        "-e", "cpu", "vandal",
        *(w for a in attacks for w in ("--ep_options", f"vandal[{a}]:attack={a}")),
        "-k", "not vandal or vandal and (" + " or ".join(attacks) + ")", *words,
    ]  # fmt: skip
    return watched(argv, home)


def watched(argv: Sequence[str], home: Path) -> Attempt:
    """Run to the end, looking at the wrapper's memory; kills what does not end."""
    began = time.monotonic()
    with subprocess.Popen(
        argv, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True, errors="backslashreplace",
    ) as child:  # fmt: skip
        peak = [0.0]
        looking = threading.Thread(target=_look, args=(child, peak))
        looking.start()
        try:
            out, err = child.communicate(timeout=LIMIT_S)
        except (
            BaseException
        ):  # its own limit, or the test's: what is left would be waited for for ever
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            looking.join()
    said = Said(child.returncode, out, err, home / "result")
    return Attempt(said, time.monotonic() - began, peak[0])


def _look(child: "subprocess.Popen[str]", peak: list[float]) -> None:
    """The most that the process that holds the run ever held: the guardian's child."""
    while child.poll() is None:
        for pid in _children(child.pid):
            peak[0] = max(peak[0], _vm_hwm_mib(pid))
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _vm_hwm_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
