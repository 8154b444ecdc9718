"""Why the TensorRT EP is slower or faster than TensorRT alone: the difference, split by what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf.results.columns import column
from perf.results.latency import NS_PER_MS, published_launches
from perf.schema.cell import Io
from perf.schema.journal import Placement, PrecisionEvidence
from perf.schema.record import Record, check_launch
from perf.stats import summary
from perf.stats.summary import rounded

EP, ALONE = "TensorrtExecutionProvider", "Standalone_TRT"


@dataclass(frozen=True)
class Term:
    """One part of a gap: its ms where it was measured, and the facts that stand beside it."""

    name: str  # transfers, off TensorRT, precision, CUDA graph, rest
    ms: float | None  # None: not measured; it is then inside the rest
    facts: str


@dataclass(frozen=True)
class Gap:
    """The EP's time less that of TensorRT alone, both host to host, in ms; the terms add up to it."""

    model: str
    subject: str
    base: str
    subject_ms: float
    base_ms: float
    terms: tuple[Term, ...]

    @property
    def total_ms(self) -> float:
        """What is to be explained; negative where the EP is faster."""
        return self.subject_ms - self.base_ms


@dataclass(frozen=True, kw_only=True)
class GapRow:
    """One term of one gap."""

    model: str = column("name in the model list")
    ep: str = column("the TensorRT EP's target")
    alone: str = column("TensorRT's own target, of the same precision and inputs")
    ep_ms: float | None = column("median over launches of their medians, host to host")
    alone_ms: float | None = column("the same of TensorRT alone")
    gap_ms: float | None = column("ep_ms - alone_ms: the terms add up to it")
    term: str = column("transfers, off TensorRT, precision, CUDA graph, rest")
    ms: float | None = column("its part of the gap; empty: not measured, so inside the rest")
    facts: str = column("what was seen beside it")


def gap_table(records: Sequence[Record]) -> tuple[GapRow, ...]:
    """A row per term of every gap."""
    return tuple(
        GapRow(
            model=g.model, ep=g.subject, alone=g.base, ep_ms=rounded(g.subject_ms),
            alone_ms=rounded(g.base_ms), gap_ms=rounded(g.total_ms), term=t.name,
            ms=rounded(t.ms), facts=t.facts,
        )
        for g in find_gaps(records)
        for t in g.terms
    )  # fmt: skip


def find_gaps(records: Sequence[Record]) -> tuple[Gap, ...]:
    """A gap for each model and precision with both sides published, host to host; in the records' order.

    A time is the median over launches of their medians. A cell of the same target with io=device serves to
    tell its transfers apart.
    """
    out = []
    for subject in records:
        if subject.cell.target.name != EP or subject.cell.io is not Io.HOST:
            continue
        base = _partner(records, subject, ALONE, Io.HOST)
        if (
            base is None
            or (ours := median_ms(subject)) is None
            or (theirs := median_ms(base)) is None
        ):
            continue
        on_device = _partner(records, subject, EP, Io.DEVICE)
        terms = (
            _transfers(ours, on_device, base),
            _off_tensorrt(subject),
            _precision(subject, base),
            _cuda_graph(subject, base),
        )
        rest = ours - theirs - sum(t.ms for t in terms if t.ms is not None)
        unmeasured = ", ".join(t.name for t in terms if t.ms is None)
        facts = (
            f"with what was not measured: {unmeasured}"
            if unmeasured
            else "the host's work in run(), launches, clocks"
        )
        out.append(
            Gap(
                model=subject.cell.model.name,
                subject=subject.cell.target.label,
                base=base.cell.target.label,
                subject_ms=ours,
                base_ms=theirs,
                terms=(*terms, Term("rest", rest, facts)),
            )
        )
    return tuple(out)


def median_ms(record: Record) -> float | None:
    """The median of a record's launch medians; None where it publishes no latency."""
    medians = [_quantile(x.timed.samples_ns) for x in published_launches(record) if x.timed]
    return _quantile(medians) / NS_PER_MS if medians else None


def part_ms(record: Record, *names: str) -> float | None:
    """The median of the sum of timed parts (h2d, compute, d2h) of each sample, over all launches."""
    sums: list[float] = []
    for launch in published_launches(record):
        parts = launch.timed.parts_ns if launch.timed else {}
        if not all(n in parts for n in names):
            return None
        sums += [float(sum(column)) for column in zip(*(parts[n] for n in names), strict=True)]
    return _quantile(sums) / NS_PER_MS if sums else None


def _partner(records: Sequence[Record], subject: Record, name: str, io: Io) -> Record | None:
    """The same model and precision on another target or io mode; its plainest variant."""
    found = [
        r
        for r in records
        if r.cell.target.name == name
        and r.cell.io is io
        and r.cell.model.name == subject.cell.model.name
        and r.cell.target.precision is subject.cell.target.precision
        and r.cell.inputs_digest == subject.cell.inputs_digest
    ]
    return min(found, key=lambda r: (len(r.cell.variant), r.cell.variant), default=None)


def _transfers(host_ms: float, on_device: Record | None, base: Record) -> Term:
    """The EP's transfers, host to host less bound to the device, less those of TensorRT alone."""
    bound = median_ms(on_device) if on_device else None
    alone = part_ms(base, "h2d", "d2h")
    if bound is None:
        return Term("transfers", None, "the EP was not run with io=device")
    if alone is None:
        return Term("transfers", None, "standalone's transfers were not timed apart")
    ours = host_ms - bound
    return Term("transfers", ours - alone, f"{ours:.4g} ms in the EP, {alone:.4g} ms alone")


def _off_tensorrt(subject: Record) -> Term:
    """Kernels of other providers, by host time of one profiled run; counts of partitions and nodes."""
    check = check_launch(subject)
    placed = check.placement if check else None
    if placed is None:
        return Term("off TensorRT", None, "placement unproven")
    others = {p: n for p, n in placed.nodes.items() if p != EP and n}
    off, total = sum(others.values()), sum(placed.nodes.values())
    facts = f"{_partitions(placed)}, {off} of {total} nodes off TensorRT"
    if not others:
        return Term("off TensorRT", 0.0, facts)
    if not placed.host_time_us:
        return Term("off TensorRT", None, facts + ", not profiled")
    us = sum(t for p, t in placed.host_time_us.items() if p != EP)
    return Term("off TensorRT", us / 1000, facts + " (host time of their kernels)")


def _partitions(placed: Placement) -> str:
    count = placed.partitions.get(EP, 0)
    each = ", ".join(map(str, placed.partition_nodes.get(EP, ())))
    return (
        f"{count} partition" + ("" if count == 1 else "s") + (f" (nodes: {each})" if each else "")
    )


def _precision(subject: Record, base: Record) -> Term:
    """Nothing where both are seen to run in the same; what else it costs was not measured."""
    ours, theirs = _attested(subject), _attested(base)
    if ours is None or theirs is None:
        return Term("precision", None, f"EP {_share(ours)}, alone {_share(theirs)}")
    same = abs(ours.layer_share - theirs.layer_share) < 0.01
    return Term("precision", 0.0 if same else None, f"EP {_share(ours)}, alone {_share(theirs)}")


def _cuda_graph(subject: Record, base: Record) -> Term:
    ours, theirs = (
        _is_on(r.cell.options.get("trt_cuda_graph_enable", "")) for r in (subject, base)
    )
    facts = f"{'on' if ours else 'off'} in the EP, {'on' if theirs else 'off'} alone"
    return Term("CUDA graph", 0.0 if ours == theirs else None, facts)


def _attested(record: Record) -> PrecisionEvidence | None:
    check = check_launch(record)
    return check.attested if check else None


def _share(attested: PrecisionEvidence | None) -> str:
    return (
        "not attested" if attested is None else f"{attested.layer_share:.0%} {attested.precision}"
    )


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true")


def _quantile(values: Sequence[float]) -> float:
    return summary.quantile(sorted(values), 0.5)
