"""How much memory an item of a batch takes, by a sweep's records, and the batch that a limit would hold."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from perf.schema.record import OutOfMemory, Passed, Record

RESERVE = 0.05  # share of the limit that is left to what a fit does not see


@dataclass(frozen=True)
class MemoryFit:
    """Memory over batch, as a line."""

    base_mib: float
    item_mib: float

    def find_largest(self, limit_mib: float) -> int:
        """The largest batch that should fit into a limit less its reserve; 0 where not even one does."""
        return max(0, int(((1 - RESERVE) * limit_mib - self.base_mib) / self.item_mib))


def peak_mib(record: Record) -> float | None:
    """The most that a record's launches held: of the device where it was seen there, else of the host."""
    on_gpu = [x.gpu_memory.peak_mib for x in record.launches if x.gpu_memory]
    on_host = [x.ending.peak_rss_mib for x in record.launches if x.ending.peak_rss_mib]
    return max(on_gpu if record.cell.gpu else on_host, default=None)


def fit_memory(records: Sequence[Record]) -> MemoryFit | None:
    """A line through what batches that passed held; None for fewer than two, or where it does not rise."""
    held = {
        r.cell.batch: mib
        for r in records
        if isinstance(r.outcome, Passed) and (mib := peak_mib(r)) is not None
    }
    if len(held) < 2:
        return None
    slope, base = statistics.linear_regression(list(held), list(held.values()))
    return MemoryFit(base, slope) if slope > 0 else None


def largest_passed(records: Sequence[Record]) -> int:
    """The largest batch that passed; 0 where none did."""
    return max((r.cell.batch for r in records if isinstance(r.outcome, Passed)), default=0)


def choose_probe(records: Sequence[Record], fit: MemoryFit, limit_mib: float) -> int:
    """The batch to try: the fit's, unless a smaller one ran out of memory or a larger one has passed."""
    ran_out = [r.cell.batch for r in records if isinstance(r.outcome, OutOfMemory)]
    wanted = min((fit.find_largest(limit_mib), *(n - 1 for n in ran_out)))
    return wanted if wanted > largest_passed(records) else 0
