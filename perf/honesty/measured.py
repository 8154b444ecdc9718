"""Our own records: the same rules over their cells, and what samples themselves say against a latency."""

import math
import statistics
from collections.abc import Iterator, Sequence

from perf.honesty.rules import Finding, Point, Reached, Severity, find_all
from perf.results.findings import impossible_reason
from perf.results.latency import published_launches, summarise_latency
from perf.schema.cell import Precision
from perf.schema.journal import Compared
from perf.schema.record import Launch, Record, check_launch

PRODUCTS_ENTRY, PRODUCTS = (
    "gemm:gemm",
    4,
)  # of setup_models/networks/gemm.py, which needs PyTorch to be read
COARSE = 0.01  # share of a sample that reading the clock may take
WARMING = 1.2  # first tenth of the samples over the rest
GAP = 0.1  # of the median, between two humps
FLOAT_TYPES = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}  # as ONNX numbers them
TYPE_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
HALF_TYPES = {Precision.FP16: 10, Precision.BF16: 16}


def find_in_records(
    records: Sequence[Record], reached: Reached | None = None
) -> tuple[Finding, ...]:
    """Findings of a run, the worst first; `reached` is of other runs, beside what this one reached."""
    found = [f for r in records for f in _of_record(r)]
    most = {**(reached or {}), **find_reached(records)}
    found += find_all([p for r in records if (p := _point(r))], most)
    return tuple(sorted(found, key=lambda f: list(Severity).index(f.severity)))


def find_reached(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """TFLOP/s of the fastest run of large products, by device and precision, where a run has them."""
    out: dict[tuple[str, str], float] = {}
    for record in records:
        form, latency = record.cell.form, summarise_latency(record)
        shapes = [t.shape for s in record.cell.sets[:1] for t in s.inputs]
        if form is None or not form.entry.endswith(PRODUCTS_ENTRY) or latency is None:
            continue
        side = shapes[0][-1]
        least_ns = min(ns for timed in latency.timed for ns in timed.samples_ns)
        key = (record.cell.gpu_name, _precision(record))
        tflops = PRODUCTS * 2 * side**3 / least_ns / 1e3
        out[key] = max(tflops, out.get(key, 0.0))
    return out


def _precision(record: Record) -> str:
    return "tf32" if record.cell.tf32 else record.cell.target.precision.value


def _point(record: Record) -> Point | None:
    latency = summarise_latency(record)
    if latency is None:
        return None
    cell = record.cell
    shapes = [t.shape for s in cell.sets[:1] for t in s.inputs if t.shape]
    batch = cell.batch or (shapes[0][0] if shapes else 1)
    images = [s for s in shapes if len(s) == 4]
    ms = latency.summary.p50
    return Point(
        cell.id, cell.gpu_name, cell.model.name, cell.target.name, _precision(record), batch,
        batch * 1e3 / ms, ms, pixels=images[0][2] * images[0][3] if images else 0,
        item_bytes=_bytes_fed(record) / batch,
    )  # fmt: skip


def _bytes_fed(record: Record) -> float:
    """What one call's inputs take in memory, as far as their types are known."""
    fed = [t for s in record.cell.sets[:1] for t in s.inputs]
    return float(sum(math.prod(t.shape) * TYPE_BYTES.get(t.onnx_type, 0) for t in fed))


def _of_record(record: Record) -> Iterator[Finding]:
    where = record.cell.id
    if why := impossible_reason(record):
        yield Finding(where, Severity.IMPOSSIBLE, why)
    check = check_launch(record)
    for text in _of_outputs(check.compared if check else (), record):
        yield Finding(where, Severity.DOUBTFUL, text)
    for launch in published_launches(record):
        yield from _of_samples(f"{where} {launch.name}", launch)


def _of_outputs(compared: Sequence[Compared], record: Record) -> Iterator[str]:
    """Outputs that a net would not give, though the reference may have the same."""
    for c in compared:
        if c.uniform == "nan":
            yield f"every element of {c.output} is NaN ({c.set})"
    told = [c for c in compared if c.onnx_type and c.total > 1]
    if told and all(c.uniform and c.uniform != "nan" for c in told):
        values = ", ".join(dict.fromkeys(f"{c.output} is {c.uniform} throughout" for c in told))
        yield f"its outputs are constant: {values}"
    later = [c for c in told if c.set != told[0].set]
    if later and all(c.repeats for c in later) and not all(c.uniform for c in told):
        yield f"two inputs gave one output ({later[0].repeats} and {later[0].set})"
    asked = HALF_TYPES.get(record.cell.target.precision)
    floats = [c for c in told if c.onnx_type in FLOAT_TYPES]
    if record.cell.form and asked and floats and all(c.onnx_type != asked for c in floats):
        yield (
            f"{record.cell.target.precision.value} was asked for, and no output is of that type: "
            f"{floats[0].output} is {FLOAT_TYPES[floats[0].onnx_type]}"
        )


def _of_samples(where: str, launch: Launch) -> Iterator[Finding]:
    if launch.timed is None or len(launch.timed.samples_ns) < 20:
        return
    samples = launch.timed.samples_ns
    middle = statistics.median(samples)
    if launch.timed.floor_ns > COARSE * middle:
        share = launch.timed.floor_ns / middle
        yield Finding(where, Severity.DOUBTFUL, f"reading the clock is {share:.0%} of a sample")
    tenth = max(2, len(samples) // 10)
    ratio = statistics.median(samples[:tenth]) / statistics.median(samples[tenth:])
    if ratio > WARMING:
        yield Finding(
            where,
            Severity.DOUBTFUL,
            f"its first runs take {ratio:.2f} of the rest: warm-up is in it",
        )
    if hump := _second_hump(sorted(samples)):
        yield Finding(
            where, Severity.NOTE, f"samples have two humps, {hump:.0%} of the median apart"
        )


def _second_hump(ordered: Sequence[int]) -> float | None:
    """The gap between two groups of samples of a fifth or more each, over the median; None for one group."""
    fifth = len(ordered) // 5
    inner = list(zip(ordered[fifth:-fifth], ordered[fifth + 1 : -fifth + 1 or None], strict=False))
    if len(inner) < 5:
        return None
    gap = max(b - a for a, b in inner) / statistics.median(ordered)
    return gap if gap > GAP else None
