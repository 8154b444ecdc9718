"""The tables of framework benchmarks, as markdown: by backend, by batch size, by precision."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from perf.results.cell_figures import collect_counters, find_peak_memory
from perf.results.latency import Latency, summarise_latency
from perf.results.target_gap import find_gaps
from perf.schema import outcomes
from perf.schema.record import OutOfMemory, Record

BACKENDS = {  # as these tables have always spelled them
    "torch": "Torch", "torch_tensorrt": "Torch-TensorRT", "tensorrt": "TensorRT",
    "torch_blade": "Torch-Blade", "torch_script": "Torch-Script", "torch_compile": "Torch-Compile",
    "torch_export": "Torch-Export",
}  # fmt: skip
FIGURES = (
    "Median(FPS)",
    "Mean(FPS)",
    "Median-Latency(ms)",
    "Mean-Latency(ms)",
    "99th_p",
    "std_dev",
)
DETECTION_FIGURES = ("Median(FPS)", "Mean(FPS)", "Median(ms)", "Mean(ms)", "99th_p", "std_dev")


@dataclass(frozen=True)
class Row:
    """One cell of a framework benchmark: how the table names it, its record, or why there is none."""

    model: str
    backend: str
    precision: str
    record: Record | None = None
    declined: str = ""

    @property
    def reason(self) -> str:
        """Why it has no figures; "" where it has."""
        if self.record is None:
            return self.declined
        if summarise_latency(self.record) is not None:
            return ""
        told = outcomes.detail(self.record.outcome)
        return (
            f"{outcomes.name(self.record.outcome)}: {told}"
            if told
            else outcomes.name(self.record.outcome)
        )

    @property
    def word(self) -> str:
        """What stands in a cell without figures."""
        if self.record is None:
            return "declined"
        return (
            "OOM"
            if isinstance(self.record.outcome, OutOfMemory)
            else outcomes.name(self.record.outcome)
        )


def format_markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table, its columns aligned."""
    body = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in body) for i in range(len(headings))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in body
    ]
    rule = "|" + "|".join(":" + "-" * (w + 1) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def format_backends(rows: Sequence[Row], *, device: str, in_seconds: bool = False) -> str:
    """Median and mean throughput and latency by model, backend and precision, captioned with the device.

    `in_seconds` prints latencies as the benchmark that this table is of did: seconds, under "(ms)".
    """
    headings = ("Model", "Backend", "precision", *FIGURES)
    return f"({device})\n\n" + _figures_table(headings, rows, in_seconds) + _reasons(rows)


def format_detection(
    rows: Sequence[Row], *, how: str, device: str, in_seconds: bool = False
) -> str:
    """The same with a detection benchmark's own headings; the first says how the model was exported."""
    headings = (f"Model({how})", "Backend", "precision", *DETECTION_FIGURES)
    return f"({device})\n\n" + _figures_table(headings, rows, in_seconds) + _reasons(rows)


def _figures_table(headings: Sequence[str], rows: Sequence[Row], in_seconds: bool) -> str:
    return format_markdown(
        headings, ((r.model, r.backend, r.precision, *_figures(r, in_seconds)) for r in rows)
    )


def _figures(row: Row, in_seconds: bool) -> Sequence[str]:
    latency = summarise_latency(row.record) if row.record else None
    if row.record is None or latency is None:
        return (row.word, *("-" for _ in FIGURES[1:]))
    batch, scale = items_fed(row.record), 1e-3 if in_seconds else 1.0
    samples_ms = [ns / 1e6 for timed in latency.timed for ns in timed.samples_ns]
    per_s = [batch * 1000.0 / ms for ms in samples_ms]
    s = latency.summary
    told = (s.p50, s.mean, s.p99, statistics.pstdev(samples_ms))
    return (
        f"{statistics.median(per_s):.6g}", f"{statistics.fmean(per_s):.6g}",
        *("-" if ms is None else f"{ms * scale:.6g}" for ms in told),
    )  # fmt: skip


def _reasons(rows: Sequence[Row]) -> str:
    told = [f"- {r.model} {r.backend} {r.precision}: {r.reason}" for r in rows if r.reason]
    return "\n\n" + "\n".join(dict.fromkeys(told)) if told else ""


def items_fed(record: Record) -> int:
    """Items of a call: the batch asked for, else the first dimension of the first input that has one."""
    shapes = [t.shape for s in record.cell.sets[:1] for t in s.inputs if t.shape]
    return record.cell.batch or (shapes[0][0] if shapes else 1)


def throughput(record: Record) -> float | None:
    """Items a second, by the mean latency; None where none is published."""
    latency = summarise_latency(record)
    if latency is None or latency.runs_per_s is None:
        return None
    return items_fed(record) * latency.runs_per_s


def mean_watts(record: Record) -> float | None:
    """The board's mean power while the cell was timed, measured; None where it was not."""
    return collect_counters(record, None).average_w


# --- batch sizes


def format_batches(
    rows: Sequence[Row], *, heading: str, columns: Mapping[str, str] | None = None
) -> str:
    """A table by task and batch size: items/s of every backend, the gain of the best over the first, items/J.

    The best in each row is bold. Energy is measured: throughput over the board's mean power of that cell.
    """
    names = columns or {k: k for k in dict.fromkeys(f"{r.backend} {r.precision}" for r in rows)}
    by_place: dict[tuple[str, int], dict[str, Row]] = {}
    for r in rows:
        batch = (
            items_fed(r.record)
            if r.record and r.record.cell.sets
            else r.record.cell.batch
            if r.record
            else 0
        )
        by_place.setdefault((r.model, batch), {})[f"{r.backend} {r.precision}"] = r
    headings = ("Task", "Batch Size", *(f"{n} (items/sec)" for n in names.values()), "Improvement",
                "Energy Efficiency (throughput/watt)")  # fmt: skip
    body = []
    for (model, batch), found in by_place.items():
        rates = {n: throughput(r.record) if r.record else None for n, r in found.items()}
        known = {n: v for n, v in rates.items() if v is not None}
        best = max(known, key=lambda n: known[n], default="")
        first = rates.get(next(iter(names)))
        gain = f"{known[best] / first:.2f}" if best and first else "-"
        best_record = found[best].record if best else None
        watts = mean_watts(best_record) if best_record else None
        cells = [_rate(found.get(n), rates.get(n), bold=n == best) for n in names]
        energy = f"{known[best] / watts:.3f}" if best and watts else "-"
        body.append((model, str(batch), *cells, gain, energy))
    return f"#### {heading}\n\n{format_markdown(headings, body)}\n{format_curves(rows)}{_reasons(rows)}"


def _rate(row: Row | None, rate: float | None, *, bold: bool) -> str:
    if row is None:
        return "-"
    if rate is None:
        return row.word
    return f"***{rate:.2f}***" if bold else f"{rate:.2f}"


def format_curves(rows: Sequence[Row]) -> str:
    """A line for each model and backend: latency over batch, and the knee beyond which throughput stays."""
    lines = []
    for (model, backend), mine in _grouped(
        rows, lambda r: (r.model, f"{r.backend} {r.precision}")
    ).items():
        curve = sorted(
            (items_fed(r.record), latency.summary.p50, rate)
            for r in mine
            if r.record
            and (latency := summarise_latency(r.record))
            and (rate := throughput(r.record))
        )
        if len(curve) < 2:
            continue
        knee = find_knee([(n, rate) for n, _, rate in curve])
        told = ", ".join(f"{n}: {ms:.3g} ms" for n, ms, _ in curve)
        lines.append(f"- {model} {backend}: {told}; {knee}")
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def find_knee(curve: Sequence[tuple[int, float]]) -> str:
    """Where a curve of items/s over batch stops rising: the smallest batch with 90 % of the best rate."""
    best = max(rate for _, rate in curve)
    batch, rate = next((n, r) for n, r in curve if r >= 0.9 * best)
    if batch == curve[-1][0]:
        return "no knee: throughput still rises at the largest batch"
    return f"knee at {batch} ({rate / best:.0%} of the best throughput)"


def format_devices(runs: Mapping[str, Sequence[Row]]) -> str:
    """A table across devices for each model and batch: the first backend's and the best one's items/s."""
    out = []
    every = [(device, r) for device, rows in runs.items() for r in rows if r.record]
    for model, batch in dict.fromkeys(
        (r.model, items_fed(r.record)) for _, r in every if r.record
    ):
        body = []
        for device, rows in runs.items():
            mine = [
                r for r in rows if r.record and r.model == model and items_fed(r.record) == batch
            ]
            rates = [(throughput(r.record), r) for r in mine if r.record]
            known = [(rate, r) for rate, r in rates if rate is not None]
            if not mine:
                continue
            top = max(known, key=lambda pair: pair[0], default=None)
            watts = mean_watts(top[1].record) if top and top[1].record else None
            body.append((
                device, _rate(mine[0], rates[0][0], bold=False),
                f"{top[0]:.2f} ({top[1].backend} {top[1].precision})" if top else mine[0].word,
                f"{top[0] / watts:.3f}" if top and watts else "-",
            ))  # fmt: skip
        first = next(r for _, r in every if r.model == model)
        headings = ("Device", f"{first.backend} {first.precision} (items/sec)", "Best (items/sec)",
                    "Energy Efficiency (throughput/watt)")  # fmt: skip
        out.append(
            f"### {model}, Batch Size={batch}\n\n{format_markdown(headings, _bold_best(body))}"
        )
    return "\n\n".join(out)


def _bold_best(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The largest number of each column but the first in bold."""
    out = [list(row) for row in rows]
    for column in range(1, len(out[0]) if out else 0):
        numbers = [
            (float(row[column].split()[0]), row) for row in out if row[column][:1].isdigit()
        ]
        if numbers:
            best = max(numbers, key=lambda pair: pair[0])[1]
            best[column] = f"***{best[column]}***"
    return [tuple(row) for row in out]


# --- precisions


def format_precisions(
    rows: Sequence[Row],
    *,
    title: str,
    second: str,
    previous: Mapping[tuple[str, str], float] | None = None,
) -> str:
    """Latency by the model's precision and that of its operators: mean ± std (n - 1), most memory held.

    `previous` has an older run's mean by the same two; `second` heads the second column.
    """
    headings = ["model's precision", second, "latency (ms)", "max memory (MiB)"]
    if previous is not None:
        headings.append("previous latency (ms)")
    body = []
    for r in rows:
        held, cast = r.model, r.precision
        latency = summarise_latency(r.record) if r.record else None
        told = _mean_std(latency) if latency else r.word
        row = [held, cast, told, _most_memory(r.record) if r.record and latency else "-"]
        if previous is not None:
            before = previous.get((held, cast))
            row.append("-" if before is None else f"{before:.3f}")
        body.append(row)
    return f"**{title}**\n\n{format_markdown(headings, body)}{_reasons(rows)}"


def format_runtimes(python: Row, native: Row) -> str:
    """A model with Python and without: mean ± std (n - 1), median, memory, and what Python adds to a run."""
    latencies = [summarise_latency(r.record) if r.record else None for r in (python, native)]
    gaps = find_gaps([r.record for r in (python, native) if r.record])
    added = f"{gaps[0].total_ms:.3f} ({gaps[0].terms[0].facts})" if gaps else "-"
    body = [
        (
            name,
            _mean_std(latency) if latency else row.word,
            f"{latency.summary.p50:.3f}" if latency else "-",
            overhead,
            _most_memory(row.record) if row.record and latency else "-",
        )
        for name, row, latency, overhead in zip(
            ("Python", "C++"), (python, native), latencies, (added, "-"), strict=True
        )
    ]
    headings = (
        "runtime",
        "latency (ms)",
        "median (ms)",
        "Python's overhead (ms)",
        "max memory (MiB)",
    )
    return f"{format_markdown(headings, body)}{_reasons((python, native))}"


def _mean_std(latency: Latency) -> str:
    std = latency.summary.stdev
    return f"{latency.summary.mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def _most_memory(record: Record) -> str:
    peak = find_peak_memory(record)
    if peak.gpu:
        return f"{peak.gpu.peak_mib - peak.gpu.baseline_mib:.0f} (GPU)"
    return f"{peak.host.peak_mib - peak.host.baseline_mib:.0f} (host)" if peak.host else "-"


def _grouped(
    rows: Sequence[Row], key: Callable[[Row], tuple[str, str]]
) -> dict[tuple[str, str], list[Row]]:
    out: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        out.setdefault(key(r), []).append(r)
    return out
