"""OpenMetrics text for node_exporter's textfile collector: gauges per cell, one file per run."""

from collections.abc import Callable, Iterator, Sequence

from perf.exports.case import Case, Result, cases_of, ended_ms
from perf.report.finished_run import FinishedRun

MS, MIB = 1e-3, 1024.0 * 1024.0
# name, unit, help, value: in base units, as OpenMetrics asks for.
GAUGES: tuple[tuple[str, str, str, Callable[[Case], float | None]], ...] = (
    ("latency_median_seconds", "seconds", "Median of all runs.", lambda c: _times(c.row.p50_ms, MS)),
    ("latency_mean_seconds", "seconds", "Mean of all runs.", lambda c: _times(c.row.mean_ms, MS)),
    ("latency_p99_seconds", "seconds", "99th percentile.", lambda c: _times(c.row.p99_ms, MS)),
    (
        "launch_half_range_seconds", "seconds", "Half the range of the launches' medians.",
        lambda c: _times(c.row.launch_half_range_ms, MS),
    ),
    ("session_creation_seconds", "seconds", "Second creation.", lambda c: c.row.creation_second_s),
    ("host_memory_peak_bytes", "bytes", "Above its baseline.", lambda c: _times(c.row.host_peak_mib, MIB)),
    ("gpu_memory_peak_bytes", "bytes", "Above its baseline.", lambda c: _times(c.row.gpu_peak_mib, MIB)),
    (
        "energy_joules", "joules", "Of one run, by the board's counter.",
        lambda c: c.row.energy_counter_j_per_run,
    ),
    ("ep_node_ratio", "ratio", "Nodes on the provider asked for.", lambda c: c.row.ratio_of_ops_on_ep),
)  # fmt: skip


def to_openmetrics(run: FinishedRun) -> str:
    """The run's gauges; readable as Prometheus text too, which takes the other lines for comments."""
    cases = cases_of(run)
    lines: list[str] = []
    lines += _family("cell_passed", "", "1 for a cell that passed, 0 for one that did not.", [
        (c, float(c.result is Result.PASSED), ()) for c in cases
    ])  # fmt: skip
    lines += _family("cell_outcome", "", "1, with the outcome as a label.", [
        (c, 1.0, (("outcome", c.kind), ("result", c.result.value))) for c in cases
    ])  # fmt: skip
    for name, unit, about, value in GAUGES:
        lines += _family(
            name, unit, about, [(c, v, ()) for c in cases if (v := value(c)) is not None]
        )
    ends = [e for c in cases if (e := ended_ms(c)) is not None]
    if ends:
        lines += [
            "# HELP ep_perf_run_end_timestamp_seconds When the last cell ended.",
            "# TYPE ep_perf_run_end_timestamp_seconds gauge",
            "# UNIT ep_perf_run_end_timestamp_seconds seconds",
            f"ep_perf_run_end_timestamp_seconds{_labels((('run_id', run.run_id),))} {max(ends) / 1000!r}",
        ]
    return "\n".join([*lines, "# EOF", ""])


Labels = Sequence[tuple[str, str]]


def _family(
    name: str, unit: str, about: str, samples: Sequence[tuple[Case, float, Labels]]
) -> Iterator[str]:
    if not samples:
        return
    full = f"ep_perf_{name}"
    yield f"# HELP {full} {about}"
    yield f"# TYPE {full} gauge"
    if unit:
        yield f"# UNIT {full} {unit}"
    for case, value, labels in samples:
        yield f"{full}{_labels((*_of(case), *labels))} {value!r}"


def _of(case: Case) -> Labels:
    cell = case.record.cell
    return (
        ("model", case.model),
        ("target", cell.target.label),
        ("variant", cell.variant),
        ("environment", cell.environment.name),
    )


def _labels(pairs: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    kept = text.encode("utf-8", "replace").decode()
    return kept.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
