"""What a record holds against its own latency: a number that cannot be is withheld, and says why."""

from collections.abc import Iterator

from perf.schema.record import Launch, Record, measure_launches


def impossible_reason(record: Record) -> str:
    """Why a record's latency cannot be true; "" where nothing speaks against it."""
    return next(_reasons(record), "")


def _reasons(record: Record) -> Iterator[str]:
    yield from _unfed_batch(record)
    for launch in measure_launches(record):
        yield from _samples_beyond_the_clock(launch)


def _unfed_batch(record: Record) -> Iterator[str]:
    """The batch that was asked for is in no output: fewer items were computed than are counted."""
    batch = record.cell.batch
    for one in record.cell.sets if batch > 1 else ():
        shapes = [t.shape for t in one.outputs]
        if shapes and not any(d and d % batch == 0 for shape in shapes for d in shape):
            told = ", ".join("x".join(map(str, s)) or "scalar" for s in shapes)
            yield f"a batch of {batch} was fed, and no output has it ({told})"
            return


def _samples_beyond_the_clock(launch: Launch) -> Iterator[str]:
    """Samples that add up to more than the time in which they were taken."""
    timed = launch.timed
    if timed is None or timed.ended_s <= timed.begun_s or timed.gpu_only:
        return
    window_ns = (timed.ended_s - timed.begun_s) * 1e9
    if sum(timed.samples_ns) > 1.01 * window_ns + 1e6:
        yield f"samples of {launch.name} add up to more than the time in which they were taken"
