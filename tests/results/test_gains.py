"""Which pairs a gain is drawn from, and which it refuses."""

from dataclasses import replace

import pytest

from perf.results import gains
from perf.schema.cell import Precision, Protocol
from perf.schema.journal import Stage
from perf.schema.record import Crashed, FellBack, Record
from tests.results import hand_made as made

BASE = made.benchmarked(made.cell(), (8.0, 8.1, 7.9, 8.2, 8.0), {made.CPU: 1})
FAST = made.benchmarked(made.cell(target=made.CUDA), (4.0, 4.1, 4.0, 4.1, 4.0), {made.CUDA: 1})


def timed_differently(record: Record, **changes: object) -> Record:
    """The same record with its samples told otherwise."""
    check, *measured = record.launches
    timed = (replace(x, timed=replace(x.timed, **changes)) for x in measured if x.timed)  # type: ignore[arg-type]
    return replace(record, launches=(check, *timed))


def test_a_gain_is_the_predecessors_formula_on_pairs() -> None:
    found = gains.gain_between(BASE, FAST)
    assert found
    assert found.pairs == 5
    assert found.percent == pytest.approx((8.04 - 4.04) * 100 / 8.04, abs=0.05)
    assert found.claimed


def test_launches_pair_by_boot_and_round_and_not_by_place() -> None:
    moved = replace(FAST, launches=tuple(reversed(FAST.launches)))
    assert gains.gain_between(BASE, moved) == gains.gain_between(BASE, FAST)
    later = replace(FAST, launches=tuple(replace(x, round=x.round + 3) for x in FAST.launches))
    found = gains.gain_between(BASE, later)
    assert found
    assert found.pairs == 2
    assert gains.gain_between(BASE, made.with_launches(FAST, boot_id="other")) is None


@pytest.mark.parametrize(
    "unlike",
    [
        timed_differently(FAST, io="device"),
        timed_differently(FAST, gpu_only=True),
        replace(FAST, cell=replace(FAST.cell, protocol=Protocol(isolation="spawn"))),
        replace(FAST, cell=replace(FAST.cell, protocol=Protocol(instrumented="nsys profile"))),
        replace(FAST, outcome=FellBack("none of 1")),
        replace(FAST, outcome=Crashed(Stage.TIME, "SIGSEGV")),
    ],
)
def test_what_is_unlike_or_not_published_has_no_gain(unlike: Record) -> None:
    assert gains.gain_between(BASE, unlike) is None
    assert gains.gain_between(BASE, replace(FAST, outcome=Crashed(Stage.CLOSE, "SIGSEGV")))


def test_a_record_is_no_gain_over_itself_nor_over_another_models_baseline() -> None:
    other = made.benchmarked(made.cell("other", made.CUDA), (4.0, 4.0), {made.CUDA: 1})
    wanted = (None, gains.gain_between(BASE, FAST), None)
    assert gains.gains_over_baseline((BASE, FAST, other)) == wanted


def test_a_gain_that_may_be_none_is_not_claimed() -> None:
    same = made.benchmarked(made.cell(target="X"), (8.5, 7.4, 8.3, 7.9, 8.0), {"X": 1})
    found = gains.gain_between(BASE, same)
    assert found
    assert found.interval
    assert found.interval.holds(0)
    assert not found.claimed


def test_columns_have_the_predecessors_gains_first_and_then_every_target_over_the_cpu() -> None:
    half = made.cell(target=made.TRT, precision=Precision.FP16, variant="v")
    record = Record(half, made.PASSED)
    columns = (made.CPU, made.CUDA, made.TRT, "Standalone_TRT", gains.column_of(record))
    assert [d.header for d in gains.gain_definitions(columns)] == [
        "TRT_CUDA_gain(%)",
        "TRT_Standalone_gain(%)",
        "CUDAExecutionProvider_CPU_gain(%)",
        "TensorrtExecutionProvider_CPU_gain(%)",
        "Standalone_TRT_CPU_gain(%)",
        "TensorrtExecutionProvider_fp16[v]_CPU_gain(%)",
    ]
    assert gains.gain_definitions((made.CUDA,)) == ()


def test_variants_of_a_whole_run_are_set_against_each_other() -> None:
    """-b on, --shape and --session_config make a variant of every cell, the baseline's too."""
    cpu, cuda = (replace(r, cell=replace(r.cell, variant="io=device,x=8x3")) for r in (BASE, FAST))
    assert gains.gains_over_baseline((cpu, cuda)) == (None, gains.gain_between(BASE, FAST))
    columns = tuple(gains.column_of(r) for r in (cpu, cuda))
    (over,) = gains.gain_definitions(columns)
    assert (over.base, over.subject) == columns


def test_a_variant_is_set_against_the_variant_of_the_base_that_is_most_like_it() -> None:
    both = (made.CUDA, f"{made.CUDA}[io=device]", made.TRT, f"{made.TRT}[io=device]",
            f"{made.TRT}[io=device,mine]", f"{made.CUDA}[graph]")  # fmt: skip
    assert [(d.header, d.base, d.subject) for d in gains.gain_definitions(both)] == [
        ("TRT_CUDA_gain(%)", made.CUDA, made.TRT),
        ("TRT_CUDA_gain(%)[io=device]", f"{made.CUDA}[io=device]", f"{made.TRT}[io=device]"),
        ("TRT_CUDA_gain(%)[io=device,mine]", f"{made.CUDA}[io=device]", f"{made.TRT}[io=device,mine]"),
    ]  # fmt: skip
