"""The TensorRT EP without TensorRT: a session that rebuilds engines as ORT's does, a fake tensorrt that reads."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from perf.backends import ProbeResult, Tensors, Unsupported, tensorrt
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, TensorFile
from perf.schema.journal import Timed
from perf.schema.shape_profiles import parse_profiles, to_options
from tests.fakes.tensorrt_fake import FakeCudart, FakeTensorRT
from tests.fakes.trt_cells import cell, half

RUNS = TimedRuns(Timed((1,) * 20, "host", 1, 3, 0, None, None, True))
BUILT = (tensorrt.NAME, "CUDAExecutionProvider", "CPUExecutionProvider")


class RebuildingSession:
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
        return feed

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        for feed in [*feeds, *batches(self.surprise or len(feeds))]:
            self.infer(feed)
        return RUNS

    def placement(self) -> None:
        return None

    def precision_evidence(self) -> None:
        return None


def batches(*rows: int) -> list[dict[str, Any]]:
    return [{"x": np.zeros((n, 3))} for n in rows]


def test_every_shape_is_met_before_the_clock_counts_and_a_rebuild_after_is_no_latency(
    tmp_path: Path,
) -> None:
    c = cell(tmp_path, cache=str(tmp_path))
    watched = tensorrt.WatchedSession(RebuildingSession(tmp_path), c)
    assert watched.time(batches(1, 2), c) == RUNS
    surprised = tensorrt.WatchedSession(RebuildingSession(tmp_path, surprise=7), c)
    with pytest.raises(tensorrt.RebuiltError, match=r"graph_0\.engine was built inside the timed"):
        surprised.time(batches(1, 2), c)


def test_layers_of_all_engines_in_the_cache_tell_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = half(cell(tmp_path, cache=str(tmp_path)))
    for name in ("a", "b"):
        (tmp_path / f"{name}.engine").write_text('{"model": "' + c.model.path + '"}')
    watched = tensorrt.WatchedSession(RebuildingSession(tmp_path), c)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(FakeCudart()))
    evidence = watched.precision_evidence()
    assert evidence is not None
    assert evidence.source == "engine inspector: 4 fp16, 2 fp32"
    assert evidence.regime == "tensorrt 10.16.1, weakly typed, flag FP16"
    for unreadable in (FakeTensorRT(FakeCudart(), refuses="deserialize"), None):
        monkeypatch.setitem(sys.modules, "tensorrt", unreadable)
        assert watched.precision_evidence() is None


def test_it_gets_its_precision_caches_profiles_and_device_and_cuda_its_own_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second provider, as seed 004's table has it; given in --cuda_ep_options."""
    cache = tmp_path / "new" / "cache"
    given = {
        "beneath.cudnn_conv_algo_search": "DEFAULT", "trt_builder_optimization_level": "4", "build": "2",
        **to_options(parse_profiles(["x=1x3:4x3:8x3"])),
    }  # fmt: skip
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    c = cell(tmp_path, cache=str(cache), device=1, options=given)
    (name, mine), (second, fallback), (last, _) = tensorrt.providers(c)
    assert (name, second, last) == BUILT
    assert cache.is_dir()
    assert mine["trt_engine_cache_path"] == mine["trt_timing_cache_path"] == str(cache)
    assert (mine["trt_fp16_enable"], mine["device_id"]) == ("0", "1")
    assert (mine["trt_builder_optimization_level"], mine["trt_profile_max_shapes"]) == (
        "4",
        "x:8x3",
    )
    assert not {"build", "cudnn_conv_algo_search"} & set(mine)
    assert fallback == {"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
    monkeypatch.setenv(
        "CUDA_VISIBLE_DEVICES", "GPU-1234"
    )  # it sees one device alone, and calls it 0
    bare = tensorrt.options(replace(half(c), cache=""))
    assert (bare["trt_fp16_enable"], bare["device_id"]) == ("1", "0")
    assert not any("cache" in k for k in bare)


def test_a_profile_of_one_input_is_completed_for_the_others_and_serves_what_is_fed(
    tmp_path: Path,
) -> None:
    """ORT wants explicit profiles of all dynamic inputs or of none; an input of fixed shape has none."""
    c = cell(tmp_path, sets=3)
    assert tensorrt.complete_profiles(c) == {}
    sets = tuple(
        replace(s, inputs=tuple(TensorFile(n, "/nowhere", 1, (i + 1, 3)) for n in ("a", "b")))
        for i, s in enumerate(c.sets)
    )
    two = replace(c, model=replace(c.model, path=str(adding(tmp_path / "two.onnx"))), sets=sets)

    def completed(*profiles: str) -> dict[str, str]:
        options = to_options(parse_profiles(profiles))
        return tensorrt.complete_profiles(replace(two, options=options))

    assert completed("a=1x3:2x3:8x3") == {
        "trt_profile_min_shapes": "a:1x3,b:1x3",
        "trt_profile_opt_shapes": "a:2x3,b:1x3",
        "trt_profile_max_shapes": "a:8x3,b:3x3",
    }
    inner = completed("a=1x3:2x3:8x3", "inner=1x3:2x3:8x3")
    assert inner["trt_profile_max_shapes"] == "a:8x3,b:3x3,inner:8x3"
    with pytest.raises(Unsupported, match="'a' is fed 3x3, outside 1x3…2x3; widen the profile"):
        completed("a=1x3:2x3:2x3")
    with pytest.raises(Unsupported, match="no tensor 'aa'"):
        completed("aa=1x3:2x3:8x3")
    several = {f"trt_profile_{k}_shapes": "a:1x3,a:2x3" for k in ("min", "opt", "max")}
    assert tensorrt.complete_profiles(replace(two, options=several)) == {}  # for ORT to judge


def adding(path: Path) -> Path:
    """y = relu(a + b), both of any number of rows."""
    values = [helper.make_tensor_value_info(n, 1, ["n", 3]) for n in ("a", "b", "y")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["y"]),
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", values[:2], values[2:])), path)
    return path


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        ({"tensorrt": "11.4.0.106"}, "TensorRT 11 is there"),
        ({"tensorrt-cu13": "10.16.1.11"}, ""),
        ({"tensorrt-rtx-cu13-libs": "11.7"}, ""),
        ({}, ""),
    ],
)
def test_tensorrt_says_what_is_missing(versions: dict[str, str], says: str) -> None:
    reason = tensorrt.missing(ProbeResult(BUILT, versions, gpus=("NVIDIA H100 80GB HBM3",)))
    assert says in reason if says else reason == ""
    assert "no device" in tensorrt.missing(ProbeResult(BUILT, versions))
