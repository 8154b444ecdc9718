"""Standalone TensorRT by its Python package: fakes of tensorrt and cuda-bindings, which compute on a CPU."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from onnx import TensorProto

from perf.backends import DeviceMemoryExhausted, Session, Unsupported
from perf.backends._tensorrt import python_session
from perf.backends._tensorrt.builder import BuildFailedError
from perf.backends._tensorrt.cuda_runtime import CudaFailedError
from perf.backends._tensorrt.python_session import EngineFailedError
from perf.schema.cell import Cell, Io, Protocol
from tests.fakes.tensorrt_fake import Error, FakeCudart, FakeTensorRT
from tests.fakes.trt_cells import cell, feeds, half, model


@contextmanager
def opened(c: Cell, tmp_path: Path, trt: FakeTensorRT, without: str = "") -> Iterator[Session]:
    """A session with the fake packages in the real ones' place, one of them perhaps not installed."""
    fakes = {"tensorrt": trt, "cuda.bindings.runtime": trt.cuda} | {without: None}
    with (
        patch.dict(sys.modules, fakes),
        python_session.open_session(c, tmp_path, ("tensorrt",)) as session,
    ):
        yield session


def ten(tmp_path: Path, **changes: Any) -> tuple[Cell, FakeTensorRT]:
    return cell(tmp_path, **changes), FakeTensorRT(FakeCudart())


def test_host_samples_hold_copies_and_their_parts_are_told(tmp_path: Path) -> None:
    c, trt = ten(tmp_path, sets=2)
    with opened(c, tmp_path, trt) as session:
        timed = session.time(feeds(c), c).timed
    assert (len(timed.samples_ns), timed.io, timed.gpu_only) == (20, "host", False)
    assert set(timed.parts_ns["h2d"]) == {500_000}  # two inputs
    assert set(timed.parts_ns["compute"]) == {2_500_000}
    assert set(timed.parts_ns["d2h"]) == {250_000}
    assert trt.cuda.held == {}  # all memory was given back


def test_compute_alone_is_on_the_device_s_clock(tmp_path: Path) -> None:
    c, trt = ten(tmp_path, io=Io.DEVICE, protocol=Protocol(runs=7, warmup=2))
    with opened(c, tmp_path, trt) as session:
        timed = session.time(feeds(c), c).timed
    assert timed.samples_ns == (2_500_000,) * 7
    assert (timed.gpu_only, timed.io, timed.parts_ns) == (True, "device", {})


def test_an_engine_of_the_shapes_fed_is_kept_with_the_timings_that_the_next_build_reads(
    tmp_path: Path,
) -> None:
    c, trt = ten(tmp_path, sets=2)
    for cached in (False, True):
        with opened(c, tmp_path, trt) as session:
            assert session.cached is cached
    (config,) = trt.configs
    assert config.profiles[0].shapes == {"x": ((1, 3), (1, 3), (2, 3))}
    assert config.flags == set()
    options = {"trt_max_workspace_size": "1024", "trt_builder_optimization_level": "5"}
    with opened(replace(c, options=options), tmp_path, trt) as session:
        assert session.cached is False
    assert trt.configs[1].limits == {"workspace": 1024}
    assert trt.configs[1].builder_optimization_level == 5
    (timings,) = (tmp_path / "cache").glob("timing-fp32.cache")
    assert timings.read_bytes() == b"timed;timed;"


def test_a_rebuild_reads_no_other_build_s_timings(tmp_path: Path) -> None:
    c, trt = ten(tmp_path)
    for build in ("1", "2"):
        with opened(replace(c, options={"build": build}), tmp_path, trt) as session:
            assert session.cached is False
    kept = list((tmp_path / "cache").glob("timing-*.cache"))
    assert [p.read_bytes() for p in kept] == [b"timed;"] * 2


def test_half_precision_by_flag_in_10_and_by_the_model_in_11(tmp_path: Path) -> None:
    c, trt = ten(tmp_path)
    c = half(c)
    with opened(c, tmp_path, trt) as session:
        session.infer(feeds(c)[0])
        evidence = session.precision_evidence()
    assert trt.configs[0].flags == {"FP16"}
    assert evidence is not None
    assert evidence.regime == "tensorrt 10.16.1, weakly typed, flag FP16"
    assert evidence.time_share == pytest.approx(2.0 / 2.5)
    eleven = FakeTensorRT(FakeCudart(), eleven=True)
    with opened(cell(tmp_path), tmp_path, eleven) as session:  # full precision needs no artefact
        assert session.infer(feeds(c)[0])["scores"].dtype == np.float32
    with (
        pytest.raises(Unsupported, match="needs the fp16 artefact"),
        opened(c, tmp_path, eleven),
    ):
        pass
    artefact = model(tmp_path / "half.onnx", TensorProto.FLOAT16)
    c = replace(c, model=replace(c.model, path_fp16=str(artefact)))
    given = feeds(c)[0]
    with opened(c, tmp_path, eleven) as session:
        outputs = session.infer({**given, "x": given["x"].astype(np.float16)})
    assert outputs["scores"].dtype == np.float16
    assert eleven.configs[-1].flags == set()


def test_tf32_is_on_only_where_it_is_asked_for(tmp_path: Path) -> None:
    c, trt = ten(tmp_path, tf32=True)
    with opened(c, tmp_path, trt):
        pass
    assert trt.configs[0].flags == {"TF32"}


@pytest.mark.parametrize(
    ("refuses", "error", "says"),
    [
        ("parse", BuildFailedError, r"no importer for GridSample \(node 'sample', GridSample\)"),
        ("build", BuildFailedError, "no tactic fits"),
        ("memory", DeviceMemoryExhausted, "OutOfMemory"),
        ("deserialize", EngineFailedError, "built by another version"),
        ("shape", EngineFailedError, "outside the profile"),
        ("data_dependent", Unsupported, "depends on values"),
        ("run", EngineFailedError, "refused to run"),
    ],
)
def test_what_it_refuses_is_said_in_one_line(
    tmp_path: Path, refuses: str, error: type[Exception], says: str
) -> None:
    trt, c = FakeTensorRT(FakeCudart(), refuses=refuses), cell(tmp_path)
    with pytest.raises(error, match=says) as e, opened(c, tmp_path, trt) as session:
        session.infer(feeds(c)[0])
    assert "\n" not in str(e.value)
    assert trt.cuda.held == {}


@pytest.mark.parametrize(
    ("cuda", "error", "says"),
    [
        ({"devices": 0}, Unsupported, "no CUDA device"),
        ({"fails": {"cudaGetDeviceCount": Error.cudaErrorInsufficientDriver}}, Unsupported, "no CUDA"),
        ({"fails": {"cudaMalloc": Error.cudaErrorMemoryAllocation}}, DeviceMemoryExhausted, "cudaMalloc"),
        ({"fails": {"cudaStreamSynchronize": Error.cudaErrorIllegalAddress}}, CudaFailedError, "IllegalAddr"),
    ],
)  # fmt: skip
def test_cuda_s_errors_by_their_names(
    tmp_path: Path, cuda: dict[str, Any], error: type[Exception], says: str
) -> None:
    c, trt = cell(tmp_path), FakeTensorRT(FakeCudart(**cuda))
    with pytest.raises(error, match=says), opened(c, tmp_path, trt) as session:
        session.infer(feeds(c)[0])


@pytest.mark.parametrize(
    ("without", "says"),
    [("tensorrt", "packages tensorrt"), ("cuda.bindings.runtime", "cuda-bindings")],
)
def test_a_package_that_is_not_there(tmp_path: Path, without: str, says: str) -> None:
    c, trt = ten(tmp_path)
    with pytest.raises(Unsupported, match=says), opened(c, tmp_path, trt, without):
        pass


def test_cuda_graphs_are_declined_and_not_ignored(tmp_path: Path) -> None:
    c, trt = ten(tmp_path, options={"trt_cuda_graph_enable": "True"})
    with pytest.raises(Unsupported, match="graphs"), opened(c, tmp_path, trt) as session:
        session.time(feeds(c), c)
