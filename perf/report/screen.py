"""What a run says as it goes on: a line as each cell ends, three where it failed, tables at the end."""

import contextlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from perf.machine.process_tree import time_since_start_s
from perf.machine.system import SystemInfo, describe_machine
from perf.report import terminal
from perf.report.layout import printable
from perf.report.rerun_command import format_gdb_command, format_rerun_command
from perf.request.options import Options
from perf.request.programs import from_here
from perf.results import tables
from perf.results.run_folder import RunFolder
from perf.results.shapes import split_by_shapes
from perf.schema.record import Passed, Record, Skipped


class Screen:
    """What one run says; quieter by -q, which leaves the last line alone. --json: stdout is for results."""

    def __init__(
        self,
        options: Options,
        planned: int,
        folder: RunFolder,
        command: Sequence[str] = ("benchmark_wrapper.py",),
    ) -> None:
        self._command = command
        self._folder = folder
        self._planned = planned
        self._ended = 0
        self._level = options.verbose - options.quiet
        self._json = options.json

    def show_cells(self, records: Sequence[Record]) -> None:
        """A model's cells have ended."""
        parts = iter(tables.tabulate_cells(records, run_id=""))
        for record in records:
            self._ended += 1
            mine = list(itertools.islice(parts, len(split_by_shapes(record))))
            if self._level < 0:
                continue
            count = f"[{self._ended}/{self._planned}]"
            if isinstance(record.outcome, (Passed, Skipped)):
                more = [terminal.format_further_shapes(cell) for cell in mine[1:]]
                lines = [terminal.format_cell(record, mine[0].gain), *more]
            else:
                lines = terminal.format_failure(
                    record,
                    format_rerun_command(record, self._command),
                    format_gdb_command(record, self._folder),
                )
            stream = sys.stderr if self._json else sys.stdout
            with _ignore_unread(stream):
                first, *more = terminal.wrap_lines([f"{count} {lines[0]}", *lines[1:]], stream)
                print(first, *more, sep="\n", file=stream, flush=True)

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

    def tell(self, line: str) -> None:
        """A line of what came of the run; --json: stdout is for results."""
        stream = sys.stderr if self._json else sys.stdout
        if self._level > -2:
            with _ignore_unread(stream):
                print(line, file=stream, flush=True)

    def show_end(
        self, records: Sequence[Record], host: SystemInfo, folder: RunFolder, files: Sequence[Path],
        remarks: Sequence[str] = (), resume: str = "",
    ) -> None:  # fmt: skip
        """The tables, where they lie, and what came of it; or the rows of cells.jsonl as one document.

        `resume` is the command that finishes a run that was interrupted.
        """
        with _ignore_unread(sys.stdout):
            if self._json:
                rows = (folder.root / "cells.jsonl").read_text(encoding="utf-8").splitlines()
                head = json.dumps({"run_id": folder.run_id, "folder": str(folder.root)})
                print(f'{head[:-1]}, "cells": [\n' + ",\n".join(rows) + "\n]}", flush=True)
                return
            if self._level > -2:
                terminal.print_tables(records)
                for remark in remarks:
                    print(printable(remark))
                where = f"{from_here(folder.results)}, {from_here(folder.root)}"
                took = terminal.format_duration(time_since_start_s())
                print(f"\n{took} on {describe_machine(host)}")
                print(f"run {folder.run_id}; {len(files)} tables in {where}")
            if resume:
                print(f"interrupted; what is left is run by: {resume}")
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
