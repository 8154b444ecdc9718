"""The program of the C++ runtime: where it lies, its start, and requests to it one by one."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from perf.backends import DeviceMemoryExhausted, Unsupported
from perf.backends import _own_program as own_program
from perf.request.locations import CODE
from perf.schema import journal
from perf.schema.journal import CellUnsupported, Event, ExceptionRaised

VARIABLE = "EP_PERF_NATIVE"
TORCH_LIBRARY = "libbenchmark_torch.so"
JOURNAL = "journal.jsonl"
_BUILD = "`make native` in a clone builds it (CMake, g++)"
_TO_END_S = 60.0  # after its last word; the launch's own deadline holds beside it


class NativeFailedError(Exception):
    """The C++ runtime failed; the message is the error that it told."""


def find_program() -> Path:
    """build/benchmark, or the program that EP_PERF_NATIVE names; whether it is there or not."""
    return Path(os.environ.get(VARIABLE) or CODE / "build" / "benchmark").absolute()


def explain_missing() -> str:
    """Why the C++ runtime cannot be run, and what fixes it; "" where it can."""
    program = find_program()
    if os.access(program, os.X_OK) and program.is_file():
        return ""
    return f"no C++ runtime {program}: {_BUILD}, {VARIABLE} names another"


def explain_missing_torch() -> str:
    """The same, where it has to load TorchScript."""
    if lacking := explain_missing():
        return lacking
    if find_program().with_name(TORCH_LIBRARY).is_file():
        return ""
    return (
        f"{find_program()} was built without PyTorch: `ep-perf env build torch`, then `make native` builds "
        "it anew"
    )


class NativeProgram:
    """A running program that holds a session; its journal is read after every answer."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", control: socket.socket, folder: Path
    ) -> None:
        self._child, self._control, self._folder = child, control, folder
        self._read = 0

    def ask(self, request: str) -> tuple[Event, ...]:
        """Have a verb and its cell carried out; what was told of it. Raises what ended the program."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: it says why
            self._control.sendall(f"{request}\n".encode())
        return self.answer()

    def answer(self) -> tuple[Event, ...]:
        """Wait for its word that it is done, and read what it told meanwhile."""
        if not self._received():
            self._explain_end()
        events = journal.read_journal(self._folder / JOURNAL)
        new, self._read = events[self._read :], len(events)
        return new

    def close(self) -> None:
        """Have it destroy its session; raises what went wrong in that."""
        self._control.shutdown(socket.SHUT_WR)
        if self._child.wait(_TO_END_S):
            self._explain_end()

    def _received(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return bool(self._control.recv(1))
        return False

    def _explain_end(self) -> None:
        status = self._child.wait(_TO_END_S)
        own_program.end_as_it_did("the C++ runtime", status)
        for event in reversed(journal.read_journal(self._folder / JOURNAL)):
            if isinstance(event, CellUnsupported):
                raise Unsupported(event.reason)
            if isinstance(event, ExceptionRaised):
                raise _error_of(event)
        raise NativeFailedError(f"the C++ runtime ended with status {status} and said nothing")


def _error_of(event: ExceptionRaised) -> Exception:
    match event.out_of_memory:
        case "host":
            return MemoryError(event.message)
        case "device":
            return DeviceMemoryExhausted(event.message)
        case _:
            return NativeFailedError(event.message)


@contextlib.contextmanager
def start_program(cell_file: Path, folder: Path, more: Sequence[str]) -> Iterator[NativeProgram]:
    """The program with a cell's session open in it; what it prints goes to the launch's log."""
    ours, theirs = socket.socketpair()
    program = str(find_program())
    command = [program, "--cell", str(cell_file), "--out", str(folder), "--serve", *more]
    with ours:
        with theirs:
            child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=theirs.fileno(),
                preexec_fn=own_program.die_with_parent(os.getpid()),
            )
        with child:
            try:
                running = NativeProgram(child, ours, folder)
                yield running
                running.close()
            finally:
                child.kill()  # does nothing to one that has been waited for
