"""Real logs of crashed and failed workers, and the lines of them that people need."""

from pathlib import Path

from perf.results import log_tail

CRASH = """2026-11-26 12:13:40 [E:onnxruntime] the engine's own words
Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/x/engine.py", line 21 in misbehave
Extension modules: numpy (total: 1)
"""
RAISED = """Traceback (most recent call last):
  File "/x/stages.py", line 59, in _guarded
    work()
onnxruntime.capi.onnxruntime_pybind11_state.Fail: [ONNXRuntimeError] : 1 : FAIL : x node not found
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "output.log"
    path.write_text(text, encoding="utf-8")
    return path


def test_python_s_stacks_are_left_out(tmp_path: Path) -> None:
    said = log_tail.read_log_tail(written(tmp_path, CRASH))
    assert said == ("2026-11-26 12:13:40 [E:onnxruntime] the engine's own words",)


def test_an_exception_is_told_only_where_the_engine_said_nothing(tmp_path: Path) -> None:
    assert "x node not found" in log_tail.read_log_tail(written(tmp_path, RAISED))[0]
    assert log_tail.read_log_tail(written(tmp_path, "words\n" + RAISED)) == ("words",)


def test_colours_go_and_errors_come_before_warnings(tmp_path: Path) -> None:
    text = "\x1b[1;31mat [E:onnxruntime:, x.cc:1] failed\x1b[m\n\x1b[0;93mat [W:onnxruntime:, y.cc:2] hm\x1b[m\n"
    assert log_tail.read_log_tail(written(tmp_path, text)) == (
        "at [E:onnxruntime:, x.cc:1] failed",
    )


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert log_tail.read_log_tail(tmp_path / "none.log") == ()
