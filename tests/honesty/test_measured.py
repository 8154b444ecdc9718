"""Our own records: a latency that cannot be is withheld, and samples that tell against themselves are named."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from perf.execution.run_lifecycle import find_red
from perf.honesty import measured, peaks
from perf.honesty.rules import Severity
from perf.request.fail_on import make_fail_on
from perf.results.findings import impossible_reason
from perf.results.latency import collect_marks, summarise_latency
from perf.schema.cell import Precision, TensorFile, TestSet
from perf.schema.journal import Compared
from perf.schema.model_form import Format, ModelForm
from perf.schema.record import LaunchKind, Record
from tests import models
from tests.asking import ask
from tests.results import hand_made


def timed_record() -> Record:
    return next(r for r in hand_made.two_models() if summarise_latency(r))


def with_batch(batch: int, out: int) -> Record:
    record = timed_record()
    fed = TensorFile("x", "/x.npy", 1, (batch, 8))
    given = TestSet("random_0", (fed,), (TensorFile("y", "/y.npy", 1, (out, 4)),))
    return replace(record, cell=replace(record.cell, batch=batch, sets=(given,)))


def with_samples(samples: tuple[int, ...], **more: object) -> Record:
    record = timed_record()
    launches = tuple(
        replace(x, timed=replace(x.timed, samples_ns=samples, **more)) if x.timed else x  # type: ignore[arg-type]
        for x in record.launches
    )
    return replace(record, launches=launches)


def test_a_batch_that_is_in_no_output_has_no_latency_and_says_why() -> None:
    record = with_batch(32, 1)
    assert summarise_latency(record) is None
    assert record.outcome == timed_record().outcome
    assert collect_marks(record) == (
        "impossible: a batch of 32 was fed, and no output has it (1x4)",
    )
    (found, *_) = measured.find_in_records([record])
    assert found.severity is Severity.IMPOSSIBLE


@pytest.mark.parametrize("out", [32, 64])
def test_a_batch_that_came_out_is_published(out: int) -> None:
    assert summarise_latency(with_batch(32, out)) is not None


def test_samples_longer_than_the_time_they_were_taken_in_are_no_latency() -> None:
    record = with_samples((1_000_000_000,) * 20, begun_s=5.0, ended_s=6.0)
    assert "add up to more than the time" in impossible_reason(record)
    assert summarise_latency(record) is None


@pytest.mark.parametrize(
    ("samples", "more", "says"),
    [
        ((1_000_000,) * 200, {"floor_ns": 40_000}, "reading the clock is 4%"),
        ((3_000_000,) * 20 + (1_000_000,) * 180, {}, "warm-up is in it"),
        ((1_000_000, 1_500_000) * 100, {}, "two humps, 40%"),
    ],
)
def test_samples_that_tell_against_themselves(
    samples: tuple[int, ...], more: dict[str, object], says: str
) -> None:
    found = measured.find_in_records([with_samples(samples, **more)])
    assert any(says in f.text for f in found), found


def test_quiet_samples_have_no_finding() -> None:
    record = with_samples(tuple(1_000_000 + 100 * (i % 7) for i in range(100)))
    assert measured.find_in_records([record]) == ()


def of_entry(model: str, entry: str, shape: tuple[int, ...], ms: float) -> Record:
    """A model from an entry point, fed one shape, every run of which took as long."""
    record = with_samples((int(ms * 1e6),) * 20, begun_s=0.0, ended_s=0.0)
    given = TestSet("random_0", (TensorFile("x", "/x.npy", 1, shape),), ())
    form = ModelForm(Format.ENTRY_POINT, "nets.py", "", entry)
    file = replace(record.cell.model, name=model)
    return replace(record, cell=replace(record.cell, model=file, form=form, sets=(given,)))


PRODUCTS = of_entry("gemm", "setup_models.networks.gemm:gemm", (1000, 1000), 80.0)


def test_what_a_device_reached_in_large_products_is_told() -> None:
    assert measured.PRODUCTS == 4
    assert measured.find_reached([PRODUCTS]) == {("", "fp32"): pytest.approx(0.1)}
    assert measured.find_reached([of_entry("gemm", "nets:other", (1000, 1000), 80.0)]) == {}
    assert peaks.format_reached({("", "fp32"): 0.1, ("NVIDIA H200", "bf16"): 700.0}) == [
        "peak: CPU fp32: 0.1 TFLOP/s measured, no datasheet known",
        "peak: NVIDIA H200 bf16: 700 TFLOP/s measured, 989 by its datasheet",
    ]


@pytest.mark.parametrize(
    ("side", "ms", "found"), [(224, 100.0, True), (224, 400.0, False), (112, 100.0, False)]
)
def test_more_than_a_large_product_reached_is_doubtful(side: int, ms: float, found: bool) -> None:
    net = of_entry("vgg16", "nets:vgg16", (1, 3, side, side), ms)  # 31 GFLOP at 224x224
    texts = [f.text for f in measured.find_in_records([PRODUCTS, net])]
    assert texts == (
        ["10 items/s of 31 GFLOP are 0.31 TFLOP/s, and a large product in fp32 reached 0.1 there"]
        if found
        else []
    )
    assert measured.find_in_records([net]) == ()
    elsewhere = measured.find_in_records([net], measured.find_reached([PRODUCTS]))
    assert [f.severity for f in elsewhere] == ([Severity.DOUBTFUL] if found else [])


def test_one_output_for_two_inputs_is_told() -> None:
    told = Compared("random_0", "y", "", 0, 8, onnx_type=1)
    for repeats, says in (("random_0", True), ("", False)):
        second = replace(told, set="random_1", repeats=repeats)
        record = hand_made.with_launches(timed_record(), LaunchKind.CHECK, compared=(told, second))
        texts = [f.text for f in measured.find_in_records([record])]
        assert ("two inputs gave one output (random_0 and random_1)" in texts) is says


@pytest.mark.parametrize(("ms", "found"), [(10.2, True), (39.0, False)])
def test_a_batch_that_takes_no_longer_is_told(ms: float, found: bool) -> None:
    records = [
        of_entry("net", "nets:net", (1, 8), 10.0),
        of_entry("net", "nets:net", (8, 8), ms),
    ]
    texts = [f.text for f in measured.find_in_records(records)]
    assert any("8 times the items take" in t for t in texts) is found


@pytest.mark.parametrize(
    ("half_ms", "found"),
    [((4.0, 11.0), True), ((4.0, 7.0), False)],  # the same ms an item more as fp32, or half of it
)
def test_a_batch_that_was_copied_and_not_computed_is_told_with_the_rate_of_the_copy(
    half_ms: tuple[float, float], found: bool
) -> None:
    records = []
    for precision, times in ((Precision.FP32, (10.0, 17.0)), (Precision.FP16, half_ms)):
        for batch, ms in zip((1, 8), times, strict=True):
            made = of_entry("net", "nets:net", (batch, 1_000_000), ms)
            target = replace(made.cell.target, precision=precision)
            records.append(replace(made, cell=replace(made.cell, target=target)))
    told = [f for f in measured.find_in_records(records) if f.severity is Severity.IMPOSSIBLE]
    assert bool(told) is found
    assert all(f.text.endswith("the batch was copied and not computed, at 4 GB/s") for f in told)


def test_a_lower_precision_that_is_not_faster_is_told() -> None:
    for ms, says in ((10.0, True), (6.0, False)):
        full, half = (of_entry("net", "nets:net", (1, 8), x) for x in (10.0, ms))
        target = replace(half.cell.target, precision=Precision.FP16)
        half = replace(half, cell=replace(half.cell, target=target))
        texts = [f.text for f in measured.find_in_records([full, half])]
        assert ("fp16 takes 1.00 of fp32's time" in texts) is says


def test_a_run_is_red_by_a_latency_that_cannot_be_and_only_where_that_was_asked_for() -> None:
    records = (with_batch(32, 1), with_batch(32, 32))
    assert find_red(records, make_fail_on(("impossible",)), {}) == records[:1]
    assert find_red(records, make_fail_on(("Crashed",)), {}) == ()


def test_outputs_in_fp32_of_a_form_that_was_to_run_in_fp16_are_told() -> None:
    record = timed_record()
    form = ModelForm(Format.ENTRY_POINT, "nets:small", "")
    target = replace(record.cell.target, precision=Precision.FP16)
    record = replace(record, cell=replace(record.cell, form=form, target=target))
    for onnx_type, says in ((1, True), (10, False)):
        told = (Compared("s", "y", "", 0, 8, onnx_type=onnx_type),)
        found = measured.find_in_records(
            [hand_made.with_launches(record, LaunchKind.CHECK, compared=told)]
        )
        assert any("no output is of that type: y is float32" in f.text for f in found) is says


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (0.0, "its outputs are constant: y is 0 throughout"),
        (np.nan, "every element of y is NaN (random_1)"),
        (1.0, ""),
    ],
)
def test_a_run_whose_net_gives_the_same_whatever_it_is_fed_is_told_so(
    tmp_path: Path, factor: float, says: str
) -> None:
    feeds: list[Mapping[str, np.ndarray]] = [{"x": models.noise(n, (2, 8))} for n in range(2)]
    models.write(
        tmp_path / "models" / "net",
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        {"x": [2, 8]},
        {"y": [2, 8]},
        [(x, {"y": np.float32(factor) * np.abs(x["x"]) * np.sign(x["x"])}) for x in feeds],
        parameters={"factor": np.float32(factor).reshape(1)},
    )
    said = ask(tmp_path, "-r", "validate")
    texts = [f.text for f in measured.find_in_records(list(said.records.values()))]
    assert (says in texts) if says else (texts == []), said.err
