"""Which latencies are set against which, and the gain of one record over another where they are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf.results.latency import published_launches
from perf.schema.record import Launch, Record
from perf.stats import summary
from perf.stats.summary import PairedGain


@dataclass(frozen=True)
class Definition:
    """A gain column of the predecessor: what `subject` saves of the time of `base`."""

    header: str
    subject: str
    base: str


# The four gains that users of the predecessor know, by the target names of its tables.
KNOWN = (
    Definition("TRT_CUDA_gain(%)", "TensorrtExecutionProvider", "CUDAExecutionProvider"),
    Definition(
        "TRT_CUDA_fp16_gain(%)", "TensorrtExecutionProvider_fp16", "CUDAExecutionProvider_fp16"
    ),
    Definition("TRT_Standalone_gain(%)", "TensorrtExecutionProvider", "Standalone_TRT"),
    Definition(
        "TRT_Standalone_fp16_gain(%)", "TensorrtExecutionProvider_fp16", "Standalone_TRT_fp16"
    ),
)
BASELINE = "CPUExecutionProvider"  # every other target's gain is over this one


def gain_definitions(columns: Sequence[str]) -> tuple[Definition, ...]:
    """The gain columns that a table with these target columns has, the predecessor's first."""
    over_cpu = tuple(
        Definition(f"{c}_CPU_gain(%)", c, base)
        for c in columns
        if (base := _base(c, BASELINE, columns))
    )
    return predecessor_gains(columns) + over_cpu


def predecessor_gains(columns: Sequence[str]) -> tuple[Definition, ...]:
    """The predecessor's four gains, as far as these columns have both sides.

    A variant is set against the base's variant that shares most with it (its io mode, its shapes) and adds
    nothing of its own.
    """
    return tuple(
        Definition(d.header + _bracketed(c), c, base)
        for d in KNOWN
        for c in columns
        if _target(c) == d.subject and (base := _base(c, d.base, columns))
    )


def _base(subject: str, target: str, columns: Sequence[str]) -> str:
    """The column of `target` that `subject` is held against, "" for none."""
    fitting = [
        c
        for c in columns
        if c != subject and _target(c) == target and _variant(c) <= _variant(subject)
    ]
    return max(fitting, key=lambda c: len(_variant(c)), default="")


def _target(column: str) -> str:
    return column.removesuffix(_bracketed(column))


def _variant(column: str) -> frozenset[str]:
    return frozenset(_bracketed(column)[1:-1].split(",")) - {""}


def _bracketed(column: str) -> str:
    """A column's variant as column_of() wrote it, brackets included; "" for none."""
    begin = column.find("[")
    return column[begin:] if begin > 0 and column.endswith("]") else ""


def column_of(record: Record) -> str:
    """A record's column in a wide table: its target as spelled, and its variant."""
    variant = record.cell.variant
    return record.cell.target.label + (f"[{variant}]" if variant else "")


def gain_between(base: Record, subject: Record) -> PairedGain | None:
    """Gain of `subject` over `base`, from launches of the same round; None where there is no pair.

    Only what is published counts, and only like is set against like: the same io mode, transfers
    in or out of the time on both sides, launched the same way. A launch's time is its median run.
    """
    if base.cell.protocol.isolation != subject.cell.protocol.isolation:
        return None
    bases = {_place(x): x for x in published_launches(base)}
    pairs = [
        (_median(bases[_place(x)]), _median(x))
        for x in published_launches(subject)
        if _place(x) in bases and _alike(bases[_place(x)], x)
    ]
    return summary.paired_gain([p for p in pairs if min(p) > 0])


def gains_over_baseline(records: Sequence[Record]) -> tuple[PairedGain | None, ...]:
    """The gain of each record over the baseline of its model; None where there is none to tell."""
    by_model: dict[str, dict[str, Record]] = {}
    for r in reversed(records):
        by_model.setdefault(r.cell.model.name, {})[column_of(r)] = r
    out = []
    for r in records:
        beside = by_model[r.cell.model.name]
        base = _base(column_of(r), BASELINE, tuple(beside))
        out.append(gain_between(beside[base], r) if base else None)
    return tuple(out)


def _place(launch: Launch) -> tuple[str, str, int]:
    return (launch.host, launch.boot_id, launch.round)


def _alike(a: Launch, b: Launch) -> bool:
    return (
        a.timed is not None
        and b.timed is not None
        and a.timed.io == b.timed.io
        and a.timed.gpu_only == b.timed.gpu_only
    )


def _median(launch: Launch) -> float:
    samples = launch.timed.samples_ns if launch.timed else ()
    return summary.quantile(sorted(samples), 0.5) if samples else 0.0
