"""Which latencies are set against which, and the gain of one record over another where they are alike."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perf.results.latency import published_launches, was_mostly_preempted
from perf.results.shapes import ShapeSignature, first_signature
from perf.schema.journal import Timed
from perf.schema.record import Record
from perf.stats.summary import PairedGain, paired_gain


@dataclass(frozen=True)
class Definition:
    """A gain column of the predecessor: what `subject` saves of the time of `base`."""

    header: str
    subject: str
    base: str


TRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
# The four gains that users of the predecessor know, by the target names of its tables.
KNOWN = (
    Definition("TRT_CUDA_gain(%)", TRT, CUDA),
    Definition("TRT_CUDA_fp16_gain(%)", f"{TRT}_fp16", f"{CUDA}_fp16"),
    Definition("TRT_Standalone_gain(%)", TRT, "Standalone_TRT"),
    Definition("TRT_Standalone_fp16_gain(%)", f"{TRT}_fp16", "Standalone_TRT_fp16"),
)
BASELINE = "CPUExecutionProvider"  # every other target's gain is over this one


def gain_definitions(columns: Sequence[str]) -> tuple[Definition, ...]:
    """The gain columns that a table with these target columns has, the predecessor's first."""
    over_cpu = ((c, _find_base(c, BASELINE, columns)) for c in columns)
    return predecessor_gains(columns) + tuple(
        Definition(f"{subject}_CPU_gain(%)", subject, base) for subject, base in over_cpu if base
    )


def predecessor_gains(columns: Sequence[str]) -> tuple[Definition, ...]:
    """The predecessor's four gains, as far as these columns have both of their targets.

    A variant is set against the base's variant that shares most with it (its io mode, its shapes) and adds
    nothing of its own.
    """
    return tuple(
        Definition(d.header + _variant_suffix(c), c, base)
        for d in KNOWN
        for c in columns
        if _strip_variant(c) == d.subject and (base := _find_base(c, d.base, columns))
    )


def _find_base(subject: str, target: str, columns: Sequence[str]) -> str:
    """The column of `target` that `subject` is held against, "" for none."""
    fitting = [
        c
        for c in columns
        if c != subject and _strip_variant(c) == target and _options(c) <= _options(subject)
    ]
    return max(fitting, key=lambda c: len(_options(c)), default="")


def _strip_variant(column: str) -> str:
    return column.removesuffix(_variant_suffix(column))


def _options(column: str) -> frozenset[str]:
    return frozenset(_variant_suffix(column)[1:-1].split(",")) - {""}


def _variant_suffix(column: str) -> str:
    """A column's variant as column_of() wrote it, brackets included; "" for none."""
    begin = column.find("[")
    return column[begin:] if begin > 0 and column.endswith("]") else ""


def column_of(record: Record) -> str:
    """A record's column in a wide table: its target as spelled, and its variant."""
    variant = record.cell.variant
    return record.cell.target.label + (f"[{variant}]" if variant else "")


def gain_between(base: Record, subject: Record) -> PairedGain | None:
    """Gain of `subject` over `base`, from launches of the same round; None where there is no pair.

    Only what is published counts, and only like is set against like: the same input shapes and io mode,
    transfers in or out of the time on both sides, launched the same way. A launch's time is its median run.
    """
    if base.cell.protocol.isolation != subject.cell.protocol.isolation:
        return None
    if first_signature(base.cell) != first_signature(subject.cell):
        return None
    bases = dict(_published(base))
    pairs = [
        (statistics.median(partner.samples_ns), statistics.median(timed.samples_ns))
        for place, timed in _published(subject)
        if (partner := bases.get(place))
        and (partner.io, partner.gpu_only) == (timed.io, timed.gpu_only)
    ]
    kept = [p for p in pairs if min(p) > 0]
    medians = [statistics.median(_all_samples(r)) for r in (base, subject)] if kept else []
    found = paired_gain(kept, (medians[0], medians[1]) if medians and min(medians) > 0 else None)
    if found and any(was_mostly_preempted(r) for r in (base, subject)):
        return replace(found, held_back="most launches were preempted")
    return found


def _all_samples(record: Record) -> list[int]:
    return [ns for _, timed in _published(record) for ns in timed.samples_ns]


def _published(record: Record) -> Iterator[tuple[tuple[str, str, int], Timed]]:
    """Host, boot and round of the launches that are published, and their samples."""
    return (((x.host, x.boot_id, x.round), x.timed) for x in published_launches(record) if x.timed)


def gains_over_baseline(records: Sequence[Record]) -> tuple[PairedGain | None, ...]:
    """The gain of each record over the baseline of its model and shapes; None where there is none to tell."""
    by_question: dict[tuple[str, ShapeSignature], dict[str, Record]] = {}
    for r in reversed(records):
        by_question.setdefault(_question(r), {})[column_of(r)] = r
    out = []
    for r in records:
        beside = by_question[_question(r)]
        base = _find_base(column_of(r), BASELINE, tuple(beside))
        out.append(gain_between(beside[base], r) if base else None)
    return tuple(out)


def _question(record: Record) -> tuple[str, ShapeSignature]:
    return record.cell.model.name, first_signature(record.cell)
