"""Why a target is slower or faster than its pair: an EP and its engine alone, split; Python and C++."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from perf.results.cell_figures import format_shapes
from perf.results.columns import ColumnSource
from perf.results.gains import gain_between
from perf.results.latency import NS_PER_MS, published_launches
from perf.schema.cell import Io
from perf.schema.journal import Placement, PrecisionEvidence
from perf.schema.record import Record, check_launch
from perf.stats.summary import rounded

EP, ALONE = "TensorrtExecutionProvider", "Standalone_TRT"


@dataclass(frozen=True)
class Pair:
    """What a target is held against: its engine's own target, or the same engine without Python."""

    alone: str
    engine: str = ""  # "": it is the same engine, called from C++


PAIRS = {
    EP: Pair(ALONE, "TensorRT"),
    "OpenVINOExecutionProvider": Pair("Standalone_OpenVINO", "OpenVINO"),
    "CPUExecutionProvider": Pair("native_ort_cpu"),
    "torch_script": Pair("native_torch_script"),
}


@dataclass(frozen=True)
class Term:
    """One part of a gap: its ms where it was measured, and the facts that stand beside it."""

    name: str  # transfers, off ENGINE, precision, CUDA graph, rest; of a runtime: Python
    ms: float | None  # None: not measured; it is then inside the rest
    facts: str


@dataclass(frozen=True)
class Gap:
    """A target's time less that of its pair, both host to host, in ms; the terms add up to it."""

    model: str
    subject: str
    base: str
    subject_ms: float
    base_ms: float
    terms: tuple[Term, ...]
    shapes: Mapping[str, str] = field(default_factory=dict)  # of the inputs that it is told of

    @property
    def total_ms(self) -> float:
        """What is to be explained; negative where the target is faster."""
        return self.subject_ms - self.base_ms


of_gap = ColumnSource[tuple[Gap, Term]]().through(lambda pair: pair[0])
of_term = ColumnSource[tuple[Gap, Term]]().through(lambda pair: pair[1])


# fmt: off
@dataclass(frozen=True, kw_only=True)
class GapRow:
    """One term of one gap."""

    model: str = of_gap("name in the model list", lambda g: g.model)
    ep: str = of_gap("the EP's target, or the one that Python calls", lambda g: g.subject)
    alone: str = of_gap("its engine's own target, or the C++ runtime's, of the same precision and inputs", lambda g: g.base)
    ep_ms: float | None = of_gap("median over launches of their medians, host to host", lambda g: rounded(g.subject_ms))
    alone_ms: float | None = of_gap("the same of the engine alone", lambda g: rounded(g.base_ms))
    gap_ms: float | None = of_gap("ep_ms - alone_ms: the terms add up to it; of a C++ runtime it is what Python adds", lambda g: rounded(g.total_ms))
    term: str = of_term("transfers, off ENGINE, precision, CUDA graph, rest; of a C++ runtime: Python", lambda t: t.name)
    ms: float | None = of_term("its part of the gap; empty: not measured, so inside the rest", lambda t: rounded(t.ms))
    facts: str = of_term("what was seen beside it", lambda t: t.facts)
    input_shapes: Mapping[str, str] = of_gap("of the inputs; where a cell was fed several, the first", lambda g: g.shapes)
# fmt: on


def find_gaps(records: Sequence[Record]) -> tuple[Gap, ...]:
    """A gap for each model and precision with both sides published, host to host; in the records' order.

    A time is the median over launches of their medians. A cell of the same target with io=device serves to
    tell its transfers apart.
    """
    subjects = [r for r in records if r.cell.target.name in PAIRS and r.cell.io is Io.HOST]
    found = (_split_gap(records, subject) for subject in subjects)
    return tuple(gap for gap in found if gap is not None)


def _split_gap(records: Sequence[Record], subject: Record) -> Gap | None:
    name = subject.cell.target.name
    pair = PAIRS[name]
    base = _find_partner(records, subject, pair.alone, Io.HOST)
    subject_ms, base_ms = median_ms(subject), median_ms(base) if base else None
    if base is None or subject_ms is None or base_ms is None:
        return None
    if pair.engine:
        every = _split_by_engine(records, subject, base, pair.engine, subject_ms - base_ms)
    else:
        every = (_tell_python(subject, base, subject_ms, base_ms),)
    names = (subject.cell.model.name, subject.cell.target.label, base.cell.target.label)
    return Gap(*names, subject_ms, base_ms, every, format_shapes(subject.cell))


def _tell_python(subject: Record, base: Record, subject_ms: float, base_ms: float) -> Term:
    """What Python adds to a run: arrays in and out, its call, its interpreter."""
    facts = f"{(subject_ms - base_ms) / base_ms:+.1%} of a run without it, by medians"
    gain = gain_between(base, subject)
    if gain is None or not gain.claimed:
        facts += "; not told apart from noise"
    return Term("Python", subject_ms - base_ms, facts)


def _split_by_engine(
    records: Sequence[Record], subject: Record, base: Record, engine: str, total_ms: float
) -> tuple[Term, ...]:
    name = subject.cell.target.name
    on_device = _find_partner(records, subject, name, Io.DEVICE)
    terms = (
        _compare_transfers(subject, on_device, base),
        _measure_off_engine(subject, name, engine),
        _compare_precision(subject, base),
        _compare_cuda_graphs(subject, base),
    )
    rest = total_ms - sum(t.ms for t in terms if t.ms is not None)
    unmeasured = ", ".join(t.name for t in terms if t.ms is None)
    facts = "the host's work in run(), launches, clocks"
    if unmeasured:
        facts = f"with what was not measured: {unmeasured}"
    return (*terms, Term("rest", rest, facts))


def median_ms(record: Record) -> float | None:
    """The median of a record's launch medians; None where it publishes no latency."""
    medians = [median(x.timed.samples_ns) for x in published_launches(record) if x.timed]
    return median(medians) / NS_PER_MS if medians else None


def _transfer_ms(record: Record) -> float | None:
    """The median over all samples of their transfers; None where a launch does not time them apart."""
    sums: list[int] = []
    for launch in published_launches(record):
        parts = launch.timed.parts_ns if launch.timed else {}
        if not {"h2d", "d2h"} <= parts.keys():
            return None
        sums += map(sum, zip(parts["h2d"], parts["d2h"], strict=True))
    return median(sums) / NS_PER_MS if sums else None


def _find_partner(records: Sequence[Record], subject: Record, name: str, io: Io) -> Record | None:
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


def _compare_transfers(subject: Record, on_device: Record | None, base: Record) -> Term:
    """The EP's transfers, host to host less bound to the device, less those of the engine alone."""
    host, bound = median_ms(subject), median_ms(on_device) if on_device else None
    alone = _transfer_ms(base)
    if host is None or bound is None:
        return Term("transfers", None, "the EP was not run with io=device")
    if alone is None:
        return Term("transfers", None, "standalone's transfers were not timed apart")
    ours = host - bound
    return Term("transfers", ours - alone, f"{ours:.4g} ms in the EP, {alone:.4g} ms alone")


def _measure_off_engine(subject: Record, name: str, engine: str) -> Term:
    """Kernels of other providers, by host time of one profiled run; counts of partitions and nodes."""
    check = check_launch(subject)
    placed = check.placement if check else None
    if placed is None:
        return Term(f"off {engine}", None, "placement unproven")
    others = {p: n for p, n in placed.nodes.items() if p != name and n}
    off, total = sum(others.values()), sum(placed.nodes.values())
    facts = f"{_describe_partitions(placed, name)}, {off} of {total} nodes off {engine}"
    if not others:
        return Term(f"off {engine}", 0.0, facts)
    if not placed.host_time_us:
        return Term(f"off {engine}", None, facts + ", not profiled")
    us = sum(t for p, t in placed.host_time_us.items() if p != name)
    return Term(f"off {engine}", us / 1000, facts + " (host time of their kernels)")


def _describe_partitions(placed: Placement, name: str) -> str:
    count = placed.partitions.get(name, 0)
    each = ", ".join(map(str, placed.partition_nodes.get(name, ())))
    text = f"{count} partition{'' if count == 1 else 's'}"
    return f"{text} (nodes: {each})" if each else text


def _compare_precision(subject: Record, base: Record) -> Term:
    """Nothing where both are seen to run in the same; what else it costs was not measured."""
    ours, theirs = (x.attested if (x := check_launch(r)) else None for r in (subject, base))
    facts = f"EP {_describe_share(ours)}, alone {_describe_share(theirs)}"
    same = ours and theirs and abs(ours.layer_share - theirs.layer_share) < 0.01
    return Term("precision", 0.0 if same else None, facts)


def _compare_cuda_graphs(subject: Record, base: Record) -> Term:
    ours, theirs = (
        _is_on(r.cell.options.get("trt_cuda_graph_enable", "")) for r in (subject, base)
    )
    facts = f"{'on' if ours else 'off'} in the EP, {'on' if theirs else 'off'} alone"
    return Term("CUDA graph", 0.0 if ours == theirs else None, facts)


def _describe_share(evidence: PrecisionEvidence | None) -> str:
    return f"{evidence.layer_share:.0%} {evidence.precision}" if evidence else "not attested"


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true")
