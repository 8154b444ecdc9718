"""Headers are drawn from the row types, and each says what it means."""

from dataclasses import fields

import pytest

from perf.results import column_docs, columns
from perf.results.build_spread import BuildsRow
from perf.results.trt_gap import GapRow

TYPES = [row for _, row, _, _ in column_docs.TABLES]
UNITS = ("_ms", "_s", "_mib", "_us", "_w", "_j_per_run", "_mhz", "_c", "_pct")


def test_every_row_type_is_in_the_dictionary() -> None:
    defined = {
        v
        for v in vars(columns).values()
        if isinstance(v, type) and v.__module__ == columns.__name__
    }
    assert set(TYPES) == defined | {GapRow, BuildsRow}  # whose rows are made where they are


@pytest.mark.parametrize("row", TYPES)
def test_headers_are_one_line_each_and_differ(row: type) -> None:
    header = columns.column_names(row)
    assert len(set(header)) == len(header)
    assert all(h.strip() == h and h.isprintable() and h for h in header)
    assert all(f.metadata["meaning"].strip() for f in fields(row))


def test_the_predecessors_success_columns_come_first_and_in_its_order() -> None:
    assert ",".join(columns.column_names(columns.SuccessRow)[:19]) == (
        "engine,version,device,fp16,io_binding,graph_optimizations,enable_cache,model_name,inputs,"
        "batch_size,sequence_length,datetime,test_times,QPS,average_latency_ms,latency_variance,"
        "latency_90_percentile,latency_95_percentile,latency_99_percentile"
    )


def test_the_predecessors_other_headers_are_kept() -> None:
    assert columns.column_names(columns.FailRow)[:4] == (
        "model",
        "ep",
        "error type",
        "error message",
    )
    assert columns.column_names(columns.LatencyPart)[:3] == (
        "mean (ms)",
        "90th percentile (ms)",
        "peak memory usage (MiB)",
    )
    assert columns.column_names(columns.SessionPart)[:2] == (
        "session creation time (s)",
        "second session creation time (s)",
    )
    assert columns.column_names(columns.SystemRow) == ("Spec", "Version")
    for name in (
        "total_ops",
        "total_ops_in_trt",
        "ratio_of_ops_in_trt",
        "total_execution_time",
        "total_trt_execution_time",
        "ratio_of_execution_time_in_trt",
    ):
        assert name in columns.column_names(columns.MetricsRow)


def test_a_figure_of_the_long_table_carries_its_unit() -> None:
    plain = {"launch_level", "floor_us"} | {
        "runs_per_s", "runs_per_s_per_w", "runs_per_s_per_board_w", "throttled_share",
        "ratio_of_ops_on_ep", "ratio_of_time_on_ep", "min_ep_share", "attested_layer_share",
        "attested_time_share", "max_abs", "max_rel", "relative_norm", "cosine", "rtol", "atol",
        "percent_mismatch",
    }  # fmt: skip
    figures = [f.name for f in fields(columns.CellRow) if "float" in str(f.type)]
    bare = [
        n for n in figures if not n.endswith(UNITS) and not n.removesuffix("s").endswith(UNITS)
    ]
    assert set(bare) <= plain | {
        "launch_p50s_ms",
        "launch_p25s_ms",
        "gpu_by_stage_mib",
        "parts_p50_ms",
    }
