"""A backend whose worker attacks what its wrapper will read, in the way that its cell's option `attack` names."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from perf.backends import Backend, ProbeResult, TargetSpec, Tensors
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision
from perf.schema.journal import Placement, PrecisionEvidence, Timed

Attack = Callable[[Path], object]
FILES = ("journal.jsonl", "output.log", "launch.json", "../cell.json", "../../../../run.json")


def _away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(8 << 20))


def _socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def _each(*attacks: Attack) -> Attack:
    """One after the other."""

    def attack(path: Path) -> None:
        for one in attacks:
            one(path)

    return attack


IN_PLACE: dict[str, Attack] = {
    "nothing": lambda path: None,
    "folder": Path.mkdir,
    "full_folder": lambda path: (path / "a" / "b").mkdir(parents=True),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "kmsg": lambda path: path.symlink_to("/proc/kmsg"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": lambda path: path.symlink_to(path.name),
    "sparse": _sparse,
    "garbage": _garbage,
    "socket": _socket,
    "unreadable": _each(lambda path: path.write_bytes(b"{}\n"), lambda path: path.chmod(0)),
}


def _exchanged(folder: Path) -> None:
    shutil.rmtree(folder)
    (folder.parent / "another").mkdir(exist_ok=True)
    folder.symlink_to("another")


def _deep(folder: Path) -> None:
    with contextlib.chdir(folder):
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")


def _many(folder: Path) -> None:
    for i in range(20_000):
        (folder / f"f{i}").touch()


def _of_tomorrow(launch: Path) -> None:
    (launch / "journal.jsonl").write_text(
        '{"is":"Hello","pid":1,"python":"","at_s":1.0,"schema":99}\n', encoding="ascii"
    )


def _tmp(launch: Path) -> Path:
    (launch / "tmp").mkdir(exist_ok=True)
    return launch / "tmp"


def _tmp_link(launch: Path) -> None:
    _away(launch / "tmp")
    (launch / "tmp").symlink_to("/etc")


def _replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("mine", encoding="utf-8")


def _grown(launch: Path) -> None:
    with (launch / "output.log").open("ab") as file:
        file.truncate(1 << 36)


FOLDERS: dict[str, Attack] = {
    "launch_removed": shutil.rmtree,
    "launch_renamed": lambda launch: launch.rename(launch.with_name("renamed")),
    "launch_a_file": lambda launch: _replace_by_file(launch),
    "launch_a_link": _exchanged,
    "launch_closed": lambda launch: launch.chmod(0),
    "launch_deep": _deep,
    "tmp_deep": lambda launch: _deep(_tmp(launch)),
    "tmp_many": lambda launch: _many(_tmp(launch)),
    "tmp_a_link": _tmp_link,
    "cell_removed": lambda launch: shutil.rmtree(launch.parent),
    "cell_renamed": lambda launch: launch.parent.rename(launch.parent.with_name("renamed")),
    "cell_a_file": lambda launch: _replace_by_file(launch.parent),
    "log_grown": _grown,
    "journal_of_tomorrow": _of_tomorrow,
}

# These leave nothing that another cell of the run could use: they are tried one to a run.
RUN_FOLDERS: dict[str, Attack] = {
    "run_removed": lambda launch: shutil.rmtree(launch.parents[4]),
    "run_renamed": lambda launch: launch.parents[4].rename(launch.parents[4].with_name("renamed")),
    "cells_removed": lambda launch: shutil.rmtree(launch.parents[3]),
    "cells_a_file": lambda launch: _replace_by_file(launch.parents[3]),
    "inputs_removed": lambda launch: shutil.rmtree(launch.parents[4] / "inputs"),
    "results_removed": lambda launch: shutil.rmtree(launch.parents[5]),
}


def _told(lines: Callable[[], Sequence[bytes]]) -> Attack:
    """Add lines to the account, and go on; they are made in the worker, for this file is the wrapper's too."""

    def attack(launch: Path) -> None:
        with (launch / "journal.jsonl").open("ab") as file:
            file.writelines(line + b"\n" for line in lines())

    return attack


def _timed(*samples: object) -> bytes:
    return json.dumps(
        {"is": "Timed", "samples_ns": samples, "io": "off", "sets": 1, "warmup": 0, "floor_ns": 0,
         "run_delay_ns": None, "throttled_us": None, "synchronised": True}
    ).encode()  # fmt: skip


def _compared(wrong: object, total: object, **more: object) -> bytes:
    return json.dumps(
        {"is": "Compared", "set": "s", "output": "o", "problem": "", "mismatched": wrong,
         "total": total, **more}
    ).encode()  # fmt: skip


def _note(text: str) -> bytes:
    return json.dumps({"is": "Noted", "key": "note", "text": text}).encode()


END = b'{"is":"Finished","at_s":1e9}'
ACCOUNTS: dict[str, Attack] = {
    "endless_line": _told(
        lambda: [b'{"is":"Noted","key":"k","text":"' + b"x" * (20 << 20) + b'"}', END]
    ),
    "endless_lists": _told(lambda: [b"[" + b"[]," * (3 << 20) + b"[]]", END]),
    "endless_objects": _told(lambda: [b"[" + b'{"":{}},' * (1 << 20) + b"0]", END]),
    "endless_numbers": _told(lambda: [_timed(*range(300_000, 900_000)), END]),
    "many_events": _told(lambda: [*[_note("again")] * 200_000, END]),
    "deep": _told(lambda: [b"[" * 200_000 + b"]" * 200_000, END]),
    "many_digits": _told(lambda: [_timed().replace(b"[]", b"[" + b"7" * 5000 + b"]"), END]),
    "beyond_int64": _told(lambda: [_timed(1 << 63), END]),
    "not_finite": _told(lambda: [_timed().replace(b"[]", b"[NaN]"), END]),
    "infinite_end": _told(lambda: [b'{"is":"Finished","at_s":1e999}']),
    "no_time": _told(lambda: [_timed(0, 0, 0), END]),
    "negative_time": _told(lambda: [_timed(-5, 100, 100), END]),
    "no_samples": _told(lambda: [_timed(), END]),
    "too_many_samples": _told(lambda: [_timed(*[1000] * 50_000), END]),
    "fewer_than_none_wrong": _told(lambda: [_compared(-5, 10), END]),
    "more_wrong_than_there_are": _told(lambda: [_compared(11, 10), END]),
    "worst_of_all": _told(lambda: [_compared(1, 10, max_abs=1e308, max_rel=1e308), END]),
    "escapes": _told(lambda: [_note("\x1b[2J\x1b]0;mine\x07\r\n\n\x00"), END]),
    "half_a_character": _told(lambda: [_note("a\ud800b"), END]),
    "long_text": _told(lambda: [_note("long " * 700_000), END]),
    "long_error": _told(
        lambda: [
            json.dumps(
                {
                    "is": "RaisedError",
                    "stage": "run",
                    "kind": "K" * 10_000,
                    "message": "m" * 3_000_000,
                }
            ).encode()
        ]
    ),
    "escaping_error": _told(
        lambda: [
            json.dumps(
                {
                    "is": "RaisedError",
                    "stage": "run",
                    "kind": "\x1b[31mK\x1b]0;mine\x07\ud800\x00\n",
                    "message": "\x1b[2J\ud800\r\x00\u202e\u2028 mine",
                }
            ).encode()
        ]
    ),
    "another_stage": _told(lambda: [b'{"is":"Began","stage":"nowhere","at_s":1.0}', END]),
    "no_objects": _told(lambda: [b"null", b"3", b'"x"', END]),
    "from_tomorrow": _told(
        lambda: [b'{"is":"Hello","pid":1,"python":"","at_s":1.0,"schema":99}', END]
    ),
    "of_another_job": _told(
        lambda: [
            b'{"is":"Prepared","sets":[]}',
            b'{"is":"Artefact","path":"/etc/passwd","report":{}}',
            END,
        ]
    ),
    "wrong_types": _told(
        lambda: [b'{"is":["Timed"]}', b'{"is":"Timed","samples_ns":"many"}', END]
    ),
}


def _signal_siblings(number: int) -> Attack:
    """To the fork servers and the workers beside this one, which are children of one wrapper."""

    def attack(_launch: Path) -> None:
        parent = os.getppid()
        told = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        for pid in set(map(int, told.split())) - {os.getpid()}:
            os.kill(pid, number)

    return attack


def _traced(_launch: Path) -> None:
    """A child traces this worker and both wait: its death is not reaped before the tracer's."""
    parent = os.getpid()
    if os.fork() == 0:
        os.setsid()
        ctypes.CDLL(None).ptrace(0x4206, parent, 0, 0)  # PTRACE_SEIZE
        time.sleep(3600)
    time.sleep(3600)


def _namespaced(_launch: Path) -> None:
    """A PID namespace of its own, whose first process ignores what it can."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "setsid", "sleep", "3600"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    time.sleep(3600)


def _forks(_launch: Path) -> None:
    """Many processes that leave the group and the session."""
    for _ in range(60):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(3600)
    time.sleep(3600)


def _floods(_launch: Path) -> None:
    chunk = b"x" * (1 << 20)
    while True:
        os.write(1, chunk)


def _closes(_launch: Path) -> None:
    os.closerange(0, 256)


PROCESSES: dict[str, Attack] = {
    "wrapper_stopped": lambda launch: os.kill(os.getppid(), signal.SIGSTOP),
    "siblings_stopped": _signal_siblings(signal.SIGSTOP),
    "siblings_killed": _signal_siblings(signal.SIGKILL),
    "traced": _traced,
    "namespaced": _namespaced,
    "forks": _forks,
    "floods": _floods,
    "closes_everything": _closes,
    "exits_in_silence": lambda launch: os._exit(0),
}


def _replacing(name: str, how: str) -> Attack:
    def attack(launch: Path) -> None:
        path = Path(os.path.normpath(launch / name))
        _away(path)
        IN_PLACE[how](path)
        if name == "output.log":
            raise RuntimeError("a failure whose output will be looked for")

    return attack


ATTACKS: dict[str, Attack] = {
    **{f"{Path(f).stem}_{how}": _replacing(f, how) for f in FILES for how in IN_PLACE},
    **FOLDERS,
    **RUN_FOLDERS,
    **ACCOUNTS,
    **PROCESSES,
}


# What leaves a worker's account whole and true: its cell passes, where a fence did not stop the attack.
HARMLESS = {
    *(f"{name}_{how}" for name in ("launch", "run") for how in IN_PLACE),
    "launch_closed", "launch_deep", "tmp_deep", "tmp_many", "tmp_a_link",
    "log_grown", "journal_of_tomorrow", "escapes", "half_a_character", "long_text", "from_tomorrow",
    "of_another_job", "wrapper_stopped", "siblings_stopped", "siblings_killed",
}  # fmt: skip


class _Session:
    cached: bool | None = None

    def __init__(self, cell: Cell, launch: Path) -> None:
        self._cell, self._launch = cell, launch
        self._attacked = False

    def infer(self, feed: Tensors) -> Tensors:
        """Attack once, then answer rightly."""
        if not self._attacked:
            self._attacked = True
            ATTACKS[self._cell.options["attack"]](self._launch)
        return {"y": np.maximum(next(iter(feed.values())), 0)}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """As many runs as were asked for."""
        runs = cell.protocol.runs or 20
        timed = Timed((1000,) * runs, cell.io.value, len(feeds), 0, 0, None, None, True)
        first, last = (
            {"y": np.maximum(next(iter(f.values())), 0)}
            for f in (feeds[0], feeds[(runs - 1) % len(feeds)])
        )
        return TimedRuns(timed, first, last)

    def placement(self) -> Placement | None:
        """It says nothing of nodes."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It says nothing of precision."""
        return None


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Session]:
    yield _Session(cell, launch)


def _missing(_found: ProbeResult) -> str:
    return ""


BACKEND = Backend(
    targets=(TargetSpec("VandalExecutionProvider", Precision.FP32, ("vandal",)),),
    open=_open,
    missing=_missing,
    provider="VandalExecutionProvider",
)

if __name__ == "__main__":
    sys.stdout.write("\n".join(ATTACKS) + "\n")
