"""A record taken apart by the shapes of its inputs, so that no figure is drawn from unlike runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from perf.schema.cell import Cell, TestSet
from perf.schema.journal import DeviceTimed, Placement, Timed
from perf.schema.record import GpuCounters, Launch, Record

ShapeSignature: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]  # of a set's inputs, by name


@dataclass(frozen=True)
class ShapedRecord:
    """What a record says of the runs of one shape signature, as a record of the same cell."""

    record: Record  # with these test sets, their samples and their comparisons alone
    number: int  # from 1; 1 is that of the first test set
    count: int  # shape signatures of the cell


def signature_of(given: TestSet) -> ShapeSignature:
    """The shapes of a set's inputs, by name."""
    return tuple((t.name, t.shape) for t in given.inputs)


def first_signature(cell: Cell) -> ShapeSignature:
    """The shapes of a cell's first test set; empty where it has none yet."""
    return signature_of(cell.sets[0]) if cell.sets else ()


def split_by_shapes(record: Record) -> tuple[ShapedRecord, ...]:
    """A record for each shape signature of its test sets, in their order; itself where all are alike.

    What is told of a launch as a whole stays with each (memory, session creation, clocks), but for what is
    told per run: energy and power cannot be taken apart, and the first and the profiled run are those of
    the first test set.
    """
    groups = _group_sets(record.cell.sets)
    if len(groups) < 2:
        return (ShapedRecord(record, 1, 1),)
    return tuple(
        ShapedRecord(_take_part(record, mine), number, len(groups))
        for number, mine in enumerate(groups.values(), 1)
    )


def split_timed(timed: Timed, sets: Sequence[TestSet]) -> Mapping[ShapeSignature, Timed]:
    """The samples of a launch by the shapes they were taken with."""
    groups = _group_sets(sets)
    if len(groups) < 2:
        return {signature: timed for signature in groups or [()]}
    return {signature: _take_samples(timed, mine) for signature, mine in groups.items()}


def _group_sets(sets: Sequence[TestSet]) -> Mapping[ShapeSignature, Collection[int]]:
    groups: dict[ShapeSignature, set[int]] = {}
    for i, given in enumerate(sets):
        groups.setdefault(signature_of(given), set()).add(i)
    return groups


def _take_part(record: Record, mine: Collection[int]) -> Record:
    sets = tuple(s for i, s in enumerate(record.cell.sets) if i in mine)
    launches = tuple(_take_launch(x, mine, {s.name for s in sets}) for x in record.launches)
    return replace(record, cell=replace(record.cell, sets=sets), launches=launches)


def _take_launch(launch: Launch, mine: Collection[int], names: Collection[str]) -> Launch:
    kept = replace(
        launch,
        timed=launch.timed and _take_samples(launch.timed, mine),
        device_timed=launch.device_timed and _take_device_runs(launch.device_timed, mine),
        compared=tuple(c for c in launch.compared if c.set in names),
        gpu_counters=launch.gpu_counters and _without_energy(launch.gpu_counters),
        cpu_energy_j=None,
    )
    if 0 in mine:
        return kept
    return replace(
        kept, first_run=None, placement=launch.placement and _without_times(launch.placement)
    )


def _take_samples(timed: Timed, mine: Collection[int]) -> Timed:
    """The samples of these sets; of the time the launch waited, the share that these runs have of the loop,
    since what waited in which run is not known."""
    kept = [s in mine for s in _sets_of_samples(timed)]

    def take(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(v for v, is_mine in zip(values, kept, strict=False) if is_mine)

    samples, total = take(timed.samples_ns), sum(timed.samples_ns)
    delay = timed.run_delay_ns
    return replace(
        timed,
        samples_ns=samples,
        sets=len(mine),
        run_delay_ns=round(delay * sum(samples) / total) if delay and total else delay,
        parts_ns={name: take(values) for name, values in timed.parts_ns.items()},
        runs_by_set=tuple(n for i, n in enumerate(timed.runs_by_set) if i in mine),
    )


def _take_device_runs(timed: DeviceTimed, mine: Collection[int]) -> DeviceTimed | None:
    kept = [k % max(1, timed.sets) in mine for k in range(len(timed.kernels_ns))]
    kernels, busy = (
        tuple(v for v, is_mine in zip(values, kept, strict=False) if is_mine)
        for values in (timed.kernels_ns, timed.busy_ns)
    )
    return replace(timed, kernels_ns=kernels, busy_ns=busy, sets=len(mine)) if kernels else None


def _sets_of_samples(timed: Timed) -> Sequence[int]:
    if timed.runs_by_set:
        return [i for i, n in enumerate(timed.runs_by_set) for _ in range(n)]
    return [k % max(1, timed.sets) for k in range(len(timed.samples_ns))]


def _without_energy(counters: GpuCounters) -> GpuCounters:
    return replace(
        counters, energy_counter_j=None, energy_integrated_j=None, average_w=None, idle_w=None
    )


def _without_times(placement: Placement) -> Placement:
    return replace(placement, host_time_us={}, partition_us={})
