"""What an H200 told as it broke (benchmarks/gpu/cuda_faults.py), folded into the outcomes that users see."""

from pathlib import Path

import pytest

from perf.schema.fold import Expectation, fold
from perf.schema.journal import Stage, read_journal
from perf.schema.record import Ending, FellBack, Outcome, OutOfMemory, Raised

RECORDED = Path(__file__).parents[1] / "recorded" / "h200"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("trap", Raised(Stage.RUN, "RuntimeError",
                        "CUDA failure 719: unspecified launch failure in cuCtxSynchronize")),
        ("illegal", Raised(Stage.RUN, "RuntimeError",
                           "CUDA failure 700: an illegal memory access was encountered in cuCtxSynchronize")),
        ("oom", OutOfMemory("device: CUDA failure 2: out of memory in cuMemAlloc_v2", Stage.RUN)),
    ],
)  # fmt: skip
def test_a_broken_device_is_told_by_its_drivers_words(name: str, outcome: Outcome) -> None:
    events = read_journal(RECORDED / f"{name}.jsonl")
    assert fold(events, Ending(1, None), Expectation()) == outcome


def test_without_its_libraries_the_cuda_ep_falls_back_without_a_word_and_is_found_out() -> None:
    events = read_journal(RECORDED / "without_libraries.jsonl")
    assert not any(type(e).__name__ == "ExceptionRaised" for e in events)
    wanted = "none of 65 nodes ran on CUDAExecutionProvider (65 on CPUExecutionProvider)"
    expected = Expectation("CUDAExecutionProvider")
    assert fold(events, Ending(0, None), expected) == FellBack(wanted)
