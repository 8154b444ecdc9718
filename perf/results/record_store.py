"""A run's records: each durable before it counts, and written again where a worker changed it."""

from collections.abc import Mapping

from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.cell import Cell
from perf.schema.record import Record, write_record
from perf.schema.untrusted_file import file_version


class RecordStore:
    """Records of the cells that ended, by cell id, as they were made and not as they lie on disk."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._records: dict[str, Record] = {}
        self._written: dict[str, tuple[int, ...]] = {}

    @property
    def records(self) -> Mapping[str, Record]:
        """By cell id."""
        return self._records

    def keep(self, record: Record) -> None:
        """Make a record durable; the next launch may end this process. Raises OSError."""
        file = self._run.cell(record.cell) / "record.json"
        write_record(record, run_folder.make_place(self._run.root, file))
        self._records[record.cell.id] = record
        self._written[record.cell.id] = file_version(file)

    def take_finished(self, cell: Cell) -> Record | None:
        """The record of a cell that ended in an earlier part of this run, if it can be read."""
        before = file_version(self._run.cell(cell) / "record.json")
        record = run_folder.read_finished_cell(self._run, cell)
        if record is not None:
            self._records[cell.id], self._written[cell.id] = record, before
        return record

    def restore(self) -> None:
        """Write again what is no longer as it was written; raises OSError."""
        for cell_id, record in self._records.items():
            file = self._run.cell(record.cell) / "record.json"
            if file_version(file) != self._written[cell_id]:
                self.keep(record)
