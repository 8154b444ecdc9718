"""trtexec's output read by label, from recordings of the documented formats of 8.6, 10.x and 11.x."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.backends._trtexec import output as told
from perf.backends._trtexec.output import BadOutputError

RECORDED = Path(__file__).parents[1] / "fakes" / "trtexec" / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "latency", "compute", "h2d", "warmups", "queries", "qps"),
    [
        ("8.6", 2.49671, 2.42504, 0.0643011, 41, 1213, 1403.25),
        ("10.6", 3.26518, 3.20876, 0.0461284, 59, 912, 303.716),
        ("11.1", 3.1705, 3.1705, 0.0, 61, 947, 315.331),
    ],
)
def test_every_layout_by_its_labels(
    version: str,
    latency: float,
    compute: float,
    h2d: float,
    warmups: int,
    queries: int,
    qps: float,
) -> None:
    got = told.summary(recorded(f"run_{version}.txt"))
    assert got.metrics["Latency"]["mean"] == latency
    assert got.metrics["GPU Compute Time"]["mean"] == compute
    assert got.metrics["H2D Latency"]["mean"] == h2d
    assert (got.warmups, got.queries, got.throughput_qps) == (warmups, queries, qps)


def test_thousands_separators_and_a_percentile_in_the_command_do_not_confuse_it() -> None:
    latency = told.summary(recorded("run_8.6.txt")).metrics["Latency"]
    assert latency["max"] == 1003.11
    assert latency["percentile(90%)"] == 2.53223
    assert set(latency) == {"min", "max", "mean", "median", "percentile(90%)"}


@pytest.mark.parametrize("version", ["8.6", "10.6", "11.1"])
def test_truncated_anywhere_it_tells_less_and_never_wrongly(version: str) -> None:
    whole = told.summary(recorded(f"run_{version}.txt"))
    text = recorded(f"run_{version}.txt")
    for end in range(0, len(text), 97):
        part = told.summary(text[: text.rfind("\n", 0, end) + 1])  # lines come whole
        for metric, values in part.metrics.items():
            assert values == whole.metrics[metric]


@given(st.text(max_size=200))
def test_reads_anything_without_an_exception(text: str) -> None:
    told.summary(text)
    told.problem(text)
    told.out_of_memory(text)
    told.failed(text)


def test_times_of_each_request() -> None:
    rows = told.times(
        '[\n  { "startEnqMs" : 0.1, "h2dMs" : 0.25, "computeMs" : 2, "d2hMs" : 0.5, "latencyMs" : 2.75 }\n'
        ', { "startEnqMs" : 3, "inMs" : 0.25, "computeMs" : 2, "outMs" : 0.5, "latencyMs" : 2.75 }\n]\n'
    )
    assert rows == (told.Iteration(2.75, 0.25, 2.0, 0.5),) * 2  # 8.4 wrote in and out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[\n  { "latencyMs" : 1.5', "torn at character"),
        ("", "torn at character 0"),
        ("[]", "no iteration"),
        ('[{"latencyMs": 1}]', "no 'h2dMs' in a row"),
        ('[{"latencyMs": 0, "h2dMs": 0, "computeMs": 0, "d2hMs": 0}]', "not positive"),
        ('[{"latencyMs": NaN, "h2dMs": 0, "computeMs": 0, "d2hMs": 0}]', "not positive"),
    ],
)
def test_times_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(BadOutputError, match=says):
        told.times(text)


OUTPUTS = """[
  { "name" : "scores:0"
  , "dimensions" : "2x3"
  , "values" : [ 0.25, -1.5e-07, nan, inf, -inf, 123457 ]
  }
, { "name" : "ids"
  , "dimensions" : "2"
  , "values" : [ 9007199254740993, -1 ]
  }
, { "name" : "none"
  , "dimensions" : "0x4"
  , "values" : [  ]
  }
]
"""


def test_outputs_with_nan_infinities_and_integers_beyond_a_double() -> None:
    got = told.outputs(OUTPUTS, {"scores:0": "float32", "ids": "int64"})
    assert got["scores:0"].shape == (2, 3)
    assert got["scores:0"].dtype == np.float32
    assert np.isnan(got["scores:0"][0, 2])
    assert np.isinf(got["scores:0"][1, :2]).all()
    assert got["ids"].tolist() == [9007199254740993, -1]
    assert got["none"].shape == (0, 4)


def test_a_shape_that_depends_on_the_data_stands_among_the_values() -> None:
    text = (
        '[\n  { "name" : "kept"\n  , "dimensions" : "-1x4"\n  , "values" : [ '
        "Final shape is 2x4 reported by the output allocator.\n1, 2, 3, 4, 5, 6, 7, 8 ]\n  }\n]\n"
    )
    assert told.outputs(text, {"kept": "int32"})["kept"].shape == (2, 4)


def test_bfloat16_comes_back_as_its_bits() -> None:
    text = '[\n  { "name" : "y"\n  , "dimensions" : "2"\n  , "values" : [ 1, 3.14062 ]\n  }\n]\n'
    got = told.outputs(text, {"y": "bfloat16"})["y"]
    assert got.tolist() == [0x3F80, 0x4049]


@pytest.mark.parametrize(
    ("text", "types", "says"),
    [
        (OUTPUTS[:150], {}, "torn"),
        (OUTPUTS, {"y": "float32"}, "no output 'y'"),
        (
            OUTPUTS.replace('"2x3"', '"2x4"'),
            {"scores:0": "float32"},
            "6 values for a shape of 2x4",
        ),
        (OUTPUTS.replace("0.25", "0.2S"), {"scores:0": "float32"}, "'scores:0'"),
        (OUTPUTS.replace('"2x3"', '"-1x3"'), {"scores:0": "float32"}, "a shape of '-1x3'"),
    ],
)
def test_outputs_that_cannot_be(text: str, types: dict[str, str], says: str) -> None:
    with pytest.raises(BadOutputError, match=says):
        told.outputs(text, types)


def test_errors_in_one_line_and_memory_told_apart_from_skipped_tactics() -> None:
    parse = recorded("failed_parse_10.6.txt")
    assert told.problem(parse).startswith(
        "[TRT] ModelImporter.cpp:946: While parsing node number 3"
    )
    assert "\n" not in told.problem(parse)
    assert told.failed(parse)
    assert told.out_of_memory(parse) == ""
    memory = recorded("failed_memory_10.6.txt")
    assert "Error Code 2: OutOfMemory" in told.out_of_memory(memory)
    warnings_only = "\n".join(x for x in memory.splitlines() if "[E]" not in x)
    assert told.out_of_memory(warnings_only) == ""
    assert not told.failed(recorded("run_10.6.txt"))
    assert told.problem(recorded("run_10.6.txt")) == ""
