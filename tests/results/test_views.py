"""What the seven tables draw from a cell beyond its long row."""

from dataclasses import replace

import pytest

from perf.results import tables, views
from perf.results.columns import Value
from perf.schema.cell import Environment, TensorFile, TestSet
from perf.schema.record import Record
from tests.results import hand_made as made


def success(record: Record) -> dict[str, Value]:
    """The success table's only row."""
    (row,) = tables.cell_rows((record,), run_id="RUN")
    table = views.success_table([(record, row)])
    return dict(zip(table.header, table.rows[0], strict=True))


@pytest.mark.parametrize(
    ("inputs", "batch", "sequence"),
    [
        (((1, (8, 3, 224, 224)),), 8, None),
        (((7, (2, 128)), (7, (2, 128))), 2, 128),
        (((7, (2, 128)), (7, (2, 64))), 2, None),
        (((1, (2, 128)),), 2, None),
        (((7, (1, 128)), (1, ())), None, None),
        ((), None, None),
    ],
)
def test_batch_and_sequence_are_told_where_all_inputs_agree(
    inputs: tuple[tuple[int, tuple[int, ...]], ...], batch: int | None, sequence: int | None
) -> None:
    tensors = tuple(TensorFile(f"i{n}", "", t, shape) for n, (t, shape) in enumerate(inputs))
    found = success(Record(made.cell(sets=(TestSet("s", tensors),)), made.PASSED))
    assert (found["batch_size"], found["sequence_length"]) == (batch, sequence)
    assert found["inputs"] == (len(inputs) or None)


def test_io_binding_and_fp16_are_what_was_true() -> None:
    device = made.measure(0, [1.0], timed=made.timed([1.0], io="device"))
    found = success(Record(made.cell(), made.PASSED, (device,)))
    assert (found["io_binding"], found["fp16"]) == (True, False)
    assert found["latency_variance"] is None


def test_the_engine_is_named_by_what_was_loaded() -> None:
    openvino = Environment("ov", "python", {}, {"numpy": "2", "onnxruntime-openvino": "1.24.1"})
    found = success(Record(made.cell(environment=openvino), made.PASSED))
    assert (found["engine"], found["version"]) == ("onnxruntime", "1.24.1")
    alone = Environment("trt", "python", {}, {"tensorrt": "10.9"})
    found = success(Record(made.cell(target="Standalone_TRT", environment=alone), made.PASSED))
    assert (found["engine"], found["version"]) == ("Standalone_TRT", "10.9")
    bare = replace(alone, versions={})
    found = success(Record(made.cell(environment=bare), made.PASSED))
    assert found["version"] == ""


def test_trt_columns_are_for_cells_that_asked_for_it() -> None:
    records = made.two_models()[:3]
    rows = tables.cell_rows(records, run_id="RUN")
    table = views.metrics_table(list(zip(records, rows, strict=True)))
    at = table.header.index("total_ops_in_trt")
    assert [row[at] for row in table.rows] == [None, None, 64]
    on_ep = table.header.index("total_ops_in_ep")
    assert [row[on_ep] for row in table.rows] == [65, 60, 64]
