"""What a run says as it goes on: a line as each cell ends, three where it failed, tables at the end."""

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from perf.machine.process_tree import time_since_start_s
from perf.machine.system import SystemInfo, describe_machine
from perf.report import live_display, terminal
from perf.report.colour import paint
from perf.report.layout import printable
from perf.report.rerun_command import format_gdb_command, format_rerun_command
from perf.request.options import Options
from perf.request.programs import from_here
from perf.results import tables
from perf.results.run_folder import RunFolder
from perf.results.shapes import split_by_shapes
from perf.schema import outcomes
from perf.schema.record import Passed, Record, Skipped


class Screen:
    """What one run says; quieter by -q, which leaves the last line alone. --json: stdout is for results."""

    def __init__(
        self,
        options: Options,
        planned: int,
        folder: RunFolder,
        command: Sequence[str] = ("benchmark_wrapper.py",),
        expected_s: Mapping[str, float] | None = None,
    ) -> None:
        self._command = command
        self._folder = folder
        self._planned = planned
        self._ended = 0
        self._level = options.verbose - options.quiet
        self._json = options.json
        self._stdout_taken = options.json or any(x.path is None for x in options.exports)
        self._color = options.color
        self.live = None
        if self._level == 0 and live_display.is_wanted():
            self.live = live_display.LiveDisplay(planned, expected_s or {})

    def show_cells(self, records: Sequence[Record]) -> None:
        """A model's cells have ended."""
        parts = iter(tables.tabulate_cells(records, run_id=""))
        for record in records:
            self._ended += 1
            mine = list(itertools.islice(parts, len(split_by_shapes(record))))
            if self.live:
                failed = outcomes.status(record.outcome) == outcomes.FAIL
                self.live.end_cell(record.cell.id, failed=failed)
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
            stream = sys.stderr if self._stdout_taken else sys.stdout
            first, *more = terminal.wrap_lines([f"{count} {lines[0]}", *lines[1:]], stream)
            first = paint(first, record.outcome, stream, self._color)
            with self._lifted(), _ignore_unread(stream):
                print(first, *more, sep="\n", file=stream, flush=True)

    def show_progress(self, text: str) -> None:
        """What is being done now: by -v a line each, else on a terminal only, in place of the one before."""
        if self._level > 0:
            self.notify(text)
        elif self.live:
            self.live.begin(text)

    def close(self) -> None:
        """Take away what shows the run in flight."""
        if self.live:
            self.live.close()

    def _lifted(self) -> contextlib.AbstractContextManager[None]:
        return self.live.lifted() if self.live else contextlib.nullcontext()

    def notify(self, line: str) -> None:
        """Something a person who waits wants to know; no part of the results."""
        if self._level > -2:
            with self._lifted(), _ignore_unread(sys.stderr):
                print(fit_line(line, sys.stderr), file=sys.stderr, flush=True)

    def tell(self, line: str) -> None:
        """A line of what came of the run; --json: stdout is for results."""
        stream = sys.stderr if self._stdout_taken else sys.stdout
        if self._level > -2:
            with self._lifted(), _ignore_unread(stream):
                print(fit_line(line, stream), file=stream, flush=True)

    def show_end(
        self, records: Sequence[Record], host: SystemInfo, folder: RunFolder, files: Sequence[Path],
        remarks: Sequence[str] = (), resume: str = "", *, page: Path | None = None, known: int = 0,
    ) -> None:  # fmt: skip
        """The tables, where they lie, and what came of it; or the rows of cells.jsonl as one document.

        `resume` is the command that finishes a run that was interrupted; `known` cells failed as expected.
        """
        self.close()
        stream = sys.stderr if self._stdout_taken else sys.stdout
        with _ignore_unread(sys.stdout if self._json else stream):
            if self._json:
                rows = (folder.root / "cells.jsonl").read_text(encoding="utf-8").splitlines()
                head = json.dumps({"run_id": folder.run_id, "folder": str(folder.root)})
                print(f'{head[:-1]}, "cells": [\n' + ",\n".join(rows) + "\n]}", flush=True)
                return
            if self._level > -2:
                if not self._stdout_taken:
                    terminal.print_tables(records)
                for remark in remarks:
                    print(fit_line(printable(remark), stream), file=stream)
                where = f"{from_here(folder.results)}, {from_here(folder.root)}"
                took = terminal.format_duration(time_since_start_s())
                print(f"\n{fit_line(f'{took} on {describe_machine(host)}', stream)}", file=stream)
                print(f"run {folder.run_id}; {len(files)} tables in {where}", file=stream)
                if page:
                    print(f"page: {from_here(page)}", file=stream)
            if resume:
                print(f"interrupted; what is left is run by: {resume}", file=stream)
            last = terminal.format_summary(records, known)
            print(fit_line(last, stream), file=stream, flush=True)


def fit_line(line: str, stream: TextIO) -> str:
    """A line for people, wrapped at words on a terminal."""
    return "\n".join(terminal.wrap_lines([line], stream))


@contextlib.contextmanager
def _ignore_unread(stream: TextIO) -> Iterator[None]:
    """Whoever reads our output may stop (`| head`), or its disk be full: the run goes on without."""
    try:
        yield
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
