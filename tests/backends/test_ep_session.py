"""The TensorRT EP's cache under watch: a fake engine that rebuilds as ORT's does, a fake tensorrt that reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt.ep_session import RebuiltError, WatchedSession, engines
from perf.backends.tensorrt import completed_profiles, options
from perf.schema.cell import Cell, TensorFile
from perf.schema.journal import Timed
from perf.schema.shape_profiles import parse_profiles, to_options
from tests.fakes.tensorrt_fake import FakeCudart, FakeTensorRT
from tests.fakes.trt_cells import cell, half

TIMED = Timed((1,) * 20, "host", 1, 3, 0, None, None, True)


class Engine:
    """ONNX Runtime's TensorRT session: an engine serves the shapes it has met, and is rebuilt for others."""

    cached: bool | None = True

    def __init__(self, cache: Path, surprise: int = 0) -> None:
        self.cache, self.surprise = cache, surprise
        self.served: set[int] = set()

    def infer(self, feed: Tensors) -> Tensors:
        rows = feed["x"].shape[0]
        if rows not in self.served:
            self.served.add(rows)
            (self.cache / "graph_0.engine").write_bytes(bytes(len(self.served)))
            (self.cache / "graph_0.profile").write_bytes(b"p")
        return feed

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        for feed in feeds:
            self.infer(feed)
        if self.surprise:
            self.infer({"x": np.zeros((self.surprise, 3))})
        return TIMED

    def placement(self) -> None:
        return None

    def precision_evidence(self) -> None:
        return None


def feeds(*rows: int) -> list[dict[str, Any]]:
    return [{"x": np.zeros((n, 3))} for n in rows]


def test_every_shape_is_met_before_the_clock_counts(tmp_path: Path) -> None:
    c = cell(tmp_path, cache=str(tmp_path))
    assert WatchedSession(Engine(tmp_path), c).time(feeds(1, 2), c) == TIMED


def test_a_rebuild_inside_the_timed_loop_fails_the_measurement(tmp_path: Path) -> None:
    c = cell(tmp_path, cache=str(tmp_path))
    with pytest.raises(
        RebuiltError, match=r"graph_0\.engine was built inside the timed loop"
    ) as e:
        WatchedSession(Engine(tmp_path, surprise=7), c).time(feeds(1, 2), c)
    assert "\n" not in str(e.value)


def test_engines_by_when_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "timing.cache").write_bytes(b"")
    assert engines(str(tmp_path)) == {}
    assert engines("") == {}
    (tmp_path / "a.engine").write_bytes(b"123")
    assert engines(str(tmp_path))["a.engine"][1] == 3


def test_layers_of_all_engines_in_the_cache(tmp_path: Path) -> None:
    c = half(cell(tmp_path, cache=str(tmp_path)))
    for name in ("a", "b"):
        (tmp_path / f"{name}.engine").write_text('{"model": "' + c.model.path + '"}')
    trt = FakeTensorRT(FakeCudart())
    attested = WatchedSession(Engine(tmp_path), c, lambda _: trt).precision_evidence()
    assert attested is not None
    assert attested.source == "engine inspector: 4 fp16, 2 fp32"
    assert attested.regime == "tensorrt 10.16.1, weakly typed, flag FP16"


def test_nothing_is_attested_where_nothing_can_be_read(tmp_path: Path) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    c = half(cell(tmp_path, cache=str(tmp_path)))
    assert WatchedSession(Engine(tmp_path), c, absent).precision_evidence() is None
    other = FakeTensorRT(FakeCudart(), refuses="deserialize")
    (tmp_path / "a.engine").write_text("{}")
    assert WatchedSession(Engine(tmp_path), c, lambda _: other).precision_evidence() is None


def test_options_of_the_harness_are_not_given_to_the_provider(tmp_path: Path) -> None:
    c = cell(tmp_path, options={"build": "2", "trt_builder_optimization_level": "4"})
    got = options(c)
    assert "build" not in got
    assert got["trt_builder_optimization_level"] == "4"


def test_a_profile_of_one_input_is_completed_for_the_others_and_serves_what_is_fed(
    tmp_path: Path,
) -> None:
    """ORT wants explicit profiles of all dynamic inputs or of none; an input of fixed shape has none."""
    c = cell(tmp_path, sets=3)
    assert completed_profiles(c) == {}
    model = adding(tmp_path / "two.onnx")
    fed = tuple(
        replace(s, inputs=tuple(shaped(n, i + 1) for n in ("a", "b")))
        for i, s in enumerate(c.sets)
    )
    asked = to_options(parse_profiles(["a=1x3:2x3:8x3"]))
    c = replace(c, model=replace(c.model, path=str(model)), sets=fed, options=asked)
    assert completed_profiles(c) == {
        "trt_profile_min_shapes": "a:1x3,b:1x3",
        "trt_profile_opt_shapes": "a:2x3,b:1x3",
        "trt_profile_max_shapes": "a:8x3,b:3x3",
    }
    narrow = replace(c, options=to_options(parse_profiles(["a=1x3:2x3:2x3"])))
    with pytest.raises(Unsupported, match="'a' is fed 3x3, outside 1x3…2x3; widen the profile"):
        completed_profiles(narrow)
    inner = replace(c, options=to_options(parse_profiles(["a=1x3:2x3:8x3", "inner=1x3:2x3:8x3"])))
    assert completed_profiles(inner)["trt_profile_max_shapes"] == "a:8x3,b:3x3,inner:8x3"
    astray = replace(c, options=to_options(parse_profiles(["aa=1x3:2x3:8x3"])))
    with pytest.raises(Unsupported, match="no tensor 'aa'"):
        completed_profiles(astray)
    several = {f"trt_profile_{k}_shapes": "a:1x3,a:2x3" for k in ("min", "opt", "max")}
    assert completed_profiles(replace(c, options=several)) == {}  # as given, for ORT to judge


def shaped(name: str, rows: int) -> TensorFile:
    return TensorFile(name, "/nowhere", 1, (rows, 3))


def adding(path: Path) -> Path:
    """y = relu(a + b), both of any number of rows."""
    values = [helper.make_tensor_value_info(n, 1, ["n", 3]) for n in ("a", "b", "y")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:])
    onnx.save(helper.make_model(graph), path)
    return path


def test_a_process_with_one_device_alone_calls_it_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = cell(tmp_path, device=1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert options(c)["device_id"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1234")
    assert options(c)["device_id"] == "0"
