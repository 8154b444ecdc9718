"""What trtexec writes is read by its labels, and refused where it is torn or cannot be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.backends._trtexec import output
from perf.backends._trtexec.output import BadOutputError

RECORDED = Path(__file__).parents[1] / "fakes" / "trtexec" / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def test_warm_up_is_counted_and_thousands_separators_do_not_confuse_it() -> None:
    for version, requests in {"8.6": 41, "10.6": 59, "11.1": 61}.items():
        assert output.warmup_requests(recorded(f"run_{version}.txt")) == requests
    assert output.warmup_requests("[I] Warmup completed 1,203 queries over 200 ms") == 1203
    assert output.warmup_requests("[I] Starting inference") == 0


@given(st.text(max_size=200))
def test_reads_anything_without_an_exception(text: str) -> None:
    output.warmup_requests(text)
    output.errors_text(text)
    output.memory_error(text)
    output.reports_failure(text)


def test_times_of_each_request() -> None:
    rows = output.parse_times(
        '[\n  { "startEnqMs" : 0.1, "h2dMs" : 0.25, "computeMs" : 2, "d2hMs" : 0.5, "latencyMs" : 2.75 }\n'
        ', { "startEnqMs" : 3, "inMs" : 0, "computeMs" : 2, "outMs" : 0, "latencyMs" : 2 }\n]\n'
    )
    assert rows == (output.Iteration(2.75, 0.25, 2.0, 0.5), output.Iteration(2.0, 0.0, 2.0, 0.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[\n  { "latencyMs" : 1.5', "torn at character"),
        ("", "torn at character 0"),
        ("[]", "no iteration"),
        ('[{"latencyMs": 1}]', "no 'h2dMs' in a row"),
        ('[{"latencyMs": 0, "h2dMs": 0, "computeMs": 0, "d2hMs": 0}]', "not positive"),
        ('[{"latencyMs": NaN, "h2dMs": 0, "computeMs": 1, "d2hMs": 0}]', "not positive"),
        ('[{"latencyMs": 1, "h2dMs": 0, "computeMs": NaN, "d2hMs": 0}]', "not positive"),
    ],
)
def test_times_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(BadOutputError, match=says):
        output.parse_times(text)


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
    got = output.parse_outputs(OUTPUTS, {"scores:0": "float32", "ids": "int64"})
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
    assert output.parse_outputs(text, {"kept": "int32"})["kept"].shape == (2, 4)


def test_bfloat16_comes_back_as_its_bits() -> None:
    text = '[\n  { "name" : "y"\n  , "dimensions" : "2"\n  , "values" : [ 1, 3.14062 ]\n  }\n]\n'
    got = output.parse_outputs(text, {"y": "bfloat16"})["y"]
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
        output.parse_outputs(text, types)


def test_errors_in_one_line_and_memory_told_apart_from_skipped_tactics() -> None:
    parse = recorded("failed_parse_10.6.txt")
    assert output.errors_text(parse).startswith(
        "[TRT] ModelImporter.cpp:946: While parsing node number 3"
    )
    assert "\n" not in output.errors_text(parse)
    assert output.reports_failure(parse)
    assert output.memory_error(parse) == ""
    memory = recorded("failed_memory_10.6.txt")
    assert "Error Code 2: OutOfMemory" in output.memory_error(memory)
    warnings_only = "\n".join(x for x in memory.splitlines() if "[E]" not in x)
    assert output.memory_error(warnings_only) == ""
    assert not output.reports_failure(recorded("run_10.6.txt"))
    assert output.errors_text(recorded("run_10.6.txt")) == ""
