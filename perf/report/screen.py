"""What a run says as it goes on: a line as each cell ends, three where it failed, tables at the end."""

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from perf.machine.system import SystemInfo
from perf.report import terminal
from perf.request.options import Options, to_argv
from perf.request.programs import script_command
from perf.results import gains
from perf.results.run_folder import RunFolder
from perf.schema.record import Passed, Record, Skipped

OF_ENGINES = re.compile(
    r"(ORT_|ONNX|CUDA_|NVIDIA_|CUDNN_|CUBLAS_|TENSORRT|TRT_|OPENVINO|OV_|OMP_|KMP_|MKL_|LD_LIBRARY_PATH|LD_PRELOAD)"
)  # variables that change what an engine does
# of no use to run a cell again
OF_ONE_RUN = ("resume", "run_id", "strict", "dry_run", "json", "list")


class Screen:
    """What one run says; quieter by -q, which leaves the last line alone. --json: stdout is for results."""

    def __init__(
        self, options: Options, planned: int, command: Sequence[str] = ("benchmark_wrapper.py",)
    ) -> None:
        self._command = command
        self._planned = planned
        self._ended = 0
        self._level = options.verbose - options.quiet
        self._json = options.json

    def show_cells(self, records: Sequence[Record]) -> None:
        """A model's cells have ended."""
        for record, gain in zip(records, gains.gains_over_baseline(records), strict=True):
            self._ended += 1
            if self._level < 0:
                continue
            count = f"[{self._ended}/{self._planned}]"
            if isinstance(record.outcome, (Passed, Skipped)):
                lines = [terminal.format_cell(record, gain)]
            else:
                lines = terminal.format_failure(
                    record, format_rerun_command(record, self._command)
                )
            stream = sys.stderr if self._json else sys.stdout
            with _ignore_unread(stream):
                print(count, "\n".join(lines), file=stream, flush=True)

    def show_progress(self, text: str) -> None:
        """What is being done now: by -v a line each, else on a terminal only, in place of the one before."""
        if self._level > 0:
            self.notify(text)
        elif self._level == 0 and sys.stderr.isatty():
            room = shutil.get_terminal_size().columns - 1
            with _ignore_unread(sys.stderr):
                print(f"\r{text[:room]:<{room}}\r", end="", file=sys.stderr, flush=True)

    def notify(self, line: str) -> None:
        """Something a person who waits wants to know; no part of the results."""
        if self._level > -2:
            with _ignore_unread(sys.stderr):
                print(line, file=sys.stderr, flush=True)

    def show_end(
        self, records: Sequence[Record], host: SystemInfo, folder: RunFolder, files: Sequence[Path]
    ) -> None:
        """The tables, where they lie, and what came of it; or the rows of cells.jsonl as one document."""
        with _ignore_unread(sys.stdout):
            if self._json:
                rows = (folder.root / "cells.jsonl").read_text(encoding="utf-8").splitlines()
                head = json.dumps({"run_id": folder.run_id, "folder": str(folder.root)})
                print(f'{head[:-1]}, "cells": [\n' + ",\n".join(rows) + "\n]}", flush=True)
                return
            if self._level > -2:
                terminal.print_tables(records, host)
                where = f"{folder.results}, {folder.root}"
                print(f"\nrun {folder.run_id}; {len(files)} tables in {where}")
            print(terminal.format_summary(records), flush=True)


@contextlib.contextmanager
def _ignore_unread(stream: TextIO) -> Iterator[None]:
    """Whoever reads our output may stop (`| head`), or its disk be full: the run goes on without."""
    try:
        yield
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def format_rerun_command(record: Record, command: Sequence[str]) -> str:
    """A command to paste that runs just this cell again, engines' variables included.

    Those of environments.toml come with it; what the user had set for this run is repeated here.
    """
    c = record.cell
    variables = [f"{k}={shlex.quote(v)}" for k, v in os.environ.items() if OF_ENGINES.match(k)]
    given = to_argv(command[1:], ("ep_list", "ep", "ab", "models", "select", "rerun", *OF_ONE_RUN))
    argv = [*script_command(command[0]), *given, "-e", c.target.label, "--rerun", c.id]
    return " ".join([*variables, *(shlex.quote(a) for a in argv)])
