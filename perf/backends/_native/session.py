"""A session that the C++ runtime holds: cells that name what to feed go to it, events and files come back."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from perf.backends import ProgramFacts, Tensors, Unsupported
from perf.backends._native.program import NativeFailedError, NativeProgram, start_program
from perf.measure import timing
from perf.measure.timing import TimedRuns
from perf.schema import cell as cells
from perf.schema.cell import Cell, TestSet
from perf.schema.journal import (
    Created,
    Event,
    FirstRun,
    HostMemory,
    OutputsSaved,
    Placement,
    PrecisionEvidence,
    Timed,
    Versions,
)

FOLDER = "native"  # below a launch's
E = TypeVar("E")


class NativeSession:
    """Satisfies perf.backends.Session; a session and its timed loop are another process's."""

    cached: bool | None = None  # it builds no engine

    def __init__(
        self, cell: Cell, program: NativeProgram, folder: Path, names: Sequence[str] = ()
    ) -> None:
        told = program.answer()
        self.versions = dict(_one(told, Versions).versions)
        self.facts = ProgramFacts(created_s=_one(told, Created).seconds)
        self._cell, self._program, self._folder, self._names = cell, program, folder, names

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host."""
        told = self._request("infer", [feed], self._cell)
        self.facts = replace(
            self.facts,
            first_run_s=_one(told, FirstRun).seconds,
            host_memory=_one(told, HostMemory),
        )
        (outputs,) = self._outputs(told)
        return outputs

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of the program's own loop, which this process waits for; the quota is read here."""
        throttled = timing.throttled_us()
        told = self._request("time", feeds, cell)
        after = timing.throttled_us()
        grown = None if throttled is None or after is None else max(0, after - throttled)
        self.facts = replace(self.facts, host_memory=_one(told, HostMemory))
        timed = replace(_one(told, Timed), throttled_us=grown, cpus=timing.usable_cpus())
        first, last = self._outputs(told)
        return TimedRuns(timed, first, last)

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It runs a file as it is."""
        return None

    def _request(self, verb: str, feeds: Sequence[Tensors], cell: Cell) -> tuple[Event, ...]:
        """Write the feeds beside a cell that names them, and have the program serve it."""
        from perf.measure import tensor_io  # numpy: the wrapper imports backends without it

        sets = []
        for i, feed in enumerate(feeds):
            files = tensor_io.save_tensors(_whole(feed), self._folder, f"fed_{i}")
            sets.append(TestSet(f"set_{i}", files))
        request = self._folder / "request.json"
        cells.write_cell(replace(cell, sets=tuple(sets)), request)
        told = self._program.ask(f"{verb} {request}")
        for test_set in sets:
            _remove(test_set.inputs)
        return told

    def _outputs(self, told: Sequence[Event]) -> list[Tensors]:
        """Outputs of each set that the program told of, read into memory."""
        from perf.measure import tensor_io

        out: list[Tensors] = []
        for saved in (s for e in told if isinstance(e, OutputsSaved) for s in e.outputs):
            loaded = tensor_io.load_expected(saved)
            _remove(saved.outputs)
            if self._names and len(self._names) != len(loaded):
                raise Unsupported(
                    f"the ONNX file has {len(self._names)} outputs ({', '.join(self._names)}), the module "
                    f"{len(loaded)} ({', '.join(loaded)}): they cannot be held against each other"
                )
            out.append(dict(zip(self._names or loaded, loaded.values(), strict=True)))
        return out


@contextlib.contextmanager
def open_session(
    cell: Cell,
    launch_dir: Path,
    more: Sequence[str],
    names: Sequence[str] = (),
    vet: Callable[[NativeSession], None] = lambda _session: None,
) -> Iterator[NativeSession]:
    """Start the program on a cell; `more` are flags of its own, `names` what its outputs are called.

    `vet` raises Unsupported for a program that it finds unfit.
    """
    folder = launch_dir / FOLDER
    folder.mkdir(exist_ok=True)
    request = folder / "cell.json"
    cells.write_cell(replace(cell, sets=()), request)
    with start_program(request, folder, more) as program:
        session = NativeSession(cell, program, folder, names)
        vet(session)
        yield session
    shutil.rmtree(folder)  # all is told; of one that failed it stays


def _whole(feed: Tensors) -> Tensors:
    """A feed of tensors in row-major order; raises Unsupported for sequences and strings."""
    import numpy as np

    from perf.measure import tensor_io

    out = {}
    for name, array in feed.items():
        if cells.base_name(name) != name:
            raise Unsupported(f"input {name!r} is no tensor: use the Python target")
        if array.dtype.kind in "OUS":
            raise Unsupported(f"input {name!r} is of strings: use the Python target")
        whole = np.ascontiguousarray(array).reshape(array.shape)
        if isinstance(array, tensor_io.Coded):
            whole = tensor_io.as_coded(np.asarray(whole), array.onnx_type)
        out[name] = whole
    return out


def _remove(files: Sequence[cells.TensorFile]) -> None:
    for file in files:
        Path(file.path).unlink(missing_ok=True)


def _one(events: Sequence[Event], kind: type[E]) -> E:
    """The last event of a kind that the program owes."""
    for event in reversed(events):
        if isinstance(event, kind):
            return event
    raise NativeFailedError(
        f"the C++ runtime told no {kind.__name__}: it is of another version, make native builds it anew"
    )
