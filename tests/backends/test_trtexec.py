"""Standalone TensorRT against a fake trtexec, a program we do not own, that computes or misbehaves."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from perf import backends
from perf.backends import DeviceMemoryExhausted, Unsupported, trtexec
from perf.backends._trtexec.output import BadOutputError
from perf.schema.cell import Io, Protocol
from tests.fakes.trt_cells import cell, feeds, half, model

VERSIONS = ("8.6", "10.6", "11.1")


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(tmp_path / "lines.jsonl"))
    monkeypatch.setenv("FAKE_TRTEXEC_MS", "2.5")


def lines(tmp_path: Path) -> list[list[str]]:
    """Every command line that was not a question for help."""
    log = tmp_path / "lines.jsonl"
    return [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_very_inputs_by_name_and_outputs_in_the_model_s_order_and_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC_VERSION", version)
    c = cell(tmp_path, sets=2)
    with trtexec.BACKEND.open(c, tmp_path) as session:
        assert session.cached is False
        for feed in feeds(c):
            got = session.infer(feed)
            assert list(got) == ["same", "scores"]
            assert [a.dtype.name for a in got.values()] == ["int64", "float32"]
            assert got["same"].tolist() == feed["ids:0"].tolist()
            np.testing.assert_allclose(got["scores"], feed["x"] * 2, rtol=1e-5)
    built = lines(tmp_path)[0]
    assert (
        "--minShapes=x:1x3" in built
    )  # the static input takes no profile, and covers what is fed
    assert "--maxShapes=x:2x3" in built


@pytest.mark.parametrize("version", VERSIONS)
def test_host_to_host_and_compute_alone_mean_the_same_in_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC_VERSION", version)
    c = cell(tmp_path)
    with trtexec.BACKEND.open(c, tmp_path) as session:
        timed = session.time(feeds(c), c).timed
    assert len(timed.samples_ns) == 20
    assert timed.samples_ns[0] == 2_875_000  # 0.25 in, 2.5 compute, 0.125 out
    assert (timed.io, timed.gpu_only, timed.synchronised, timed.warmup) == ("host", False, True, 3)
    assert timed.parts_ns["compute"][0] == 2_500_000
    assert timed.parts_ns["h2d"][0] == 250_000
    assert timed.ended_s > timed.begun_s > 0
    alone = replace(c, io=Io.DEVICE)
    with trtexec.BACKEND.open(alone, tmp_path) as session:
        assert session.cached is True
        timed = session.time(feeds(alone), alone).timed
    assert (timed.samples_ns[0], timed.io, timed.gpu_only) == (2_500_000, "device", True)
    assert timed.parts_ns == {}


def test_several_sets_share_the_runs_and_have_no_window(tmp_path: Path) -> None:
    c = cell(tmp_path, sets=3)
    with trtexec.BACKEND.open(c, tmp_path) as session:
        timed = session.time(feeds(c), c).timed
    assert (len(timed.samples_ns), timed.sets, timed.begun_s) == (21, 3, 0.0)
    shapes = [
        x
        for line in lines(tmp_path)
        for x in line
        if x.startswith("--shapes") and "--exportTimes=times.json" in line
    ]
    assert shapes == ["--shapes=x:1x3", "--shapes=x:2x3", "--shapes=x:3x3"]


def test_by_time_where_no_number_of_runs_is_asked_for(tmp_path: Path) -> None:
    c = cell(tmp_path, protocol=Protocol(runs=None, min_time_s=1.0))
    with trtexec.BACKEND.open(c, tmp_path) as session:
        assert len(session.time(feeds(c), c).timed.samples_ns) == 400  # 1 s of 2.5 ms


def test_the_check_launch_builds_and_the_rest_load(tmp_path: Path) -> None:
    c = cell(tmp_path)
    for cached in (False, True):
        with trtexec.BACKEND.open(c, tmp_path) as session:
            assert session.cached is cached
    other = replace(c, options={"trt_builder_optimization_level": "2"})
    with trtexec.BACKEND.open(other, tmp_path) as session:
        assert session.cached is False  # another engine: never taken for the first
    assert sum(any(a.startswith("--onnx=") for a in line) for line in lines(tmp_path)) == 2
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_half_precision_by_flag_or_by_the_converted_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = half(cell(tmp_path))
    with trtexec.BACKEND.open(c, tmp_path) as session:
        attested = session.precision_evidence()
    assert "--fp16" in lines(tmp_path)[0]
    assert f"--onnx={c.model.path}" in lines(tmp_path)[0]
    assert attested is not None
    assert attested.regime == "TensorRT 10.6.0, weakly typed --fp16"
    assert attested.layer_share == pytest.approx(2 / 3)
    assert attested.time_share == pytest.approx(0.18 / 0.24)

    monkeypatch.setenv("FAKE_TRTEXEC_VERSION", "11.1")
    with (
        pytest.raises(Unsupported, match="needs the fp16 artefact"),
        trtexec.BACKEND.open(c, tmp_path),
    ):
        pass
    artefact = model(tmp_path / "half.onnx", TensorProto.FLOAT16)
    c = replace(c, model=replace(c.model, path_fp16=str(artefact)))
    (tmp_path / "lines.jsonl").unlink()
    with trtexec.BACKEND.open(c, tmp_path) as session:
        given = feeds(c)[0]
        got = session.infer({**given, "x": given["x"].astype(np.float16)})
    assert f"--onnx={artefact}" in lines(tmp_path)[0]
    assert "--fp16" not in lines(tmp_path)[0]
    assert got["scores"].dtype == np.float16


def test_types_and_int64_values_that_tensorrt_does_not_take_are_declined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = cell(tmp_path)
    big = {**feeds(c)[0], "ids:0": np.array([2**40, 1])}
    with trtexec.BACKEND.open(c, tmp_path) as session:
        assert session.infer(big)["same"][0] == 2**40
        with pytest.raises(Unsupported, match="float64"):
            session.infer({**big, "x": np.zeros((1, 3))})
    monkeypatch.setenv("FAKE_TRTEXEC_VERSION", "8.6")
    with (
        trtexec.BACKEND.open(c, tmp_path) as session,
        pytest.raises(Unsupported, match="beyond int32"),
    ):
        session.infer(big)


def test_a_profile_that_serves_no_fed_shape_is_declined(tmp_path: Path) -> None:
    options = {f"trt_profile_{k}_shapes": "x:4x3" for k in ("min", "opt", "max")}
    with (
        pytest.raises(Unsupported, match="outside 4x3"),
        trtexec.BACKEND.open(cell(tmp_path, options=options), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("no_engine", BadOutputError, "saved no engine"),
        ("failed_parse", trtexec.TrtexecFailedError, "status 1: .*While parsing node number 3"),
        ("failed_memory", DeviceMemoryExhausted, "OutOfMemory"),
    ],
)
def test_a_build_that_fails_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, error: type[Exception], says: str
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC", how)
    with pytest.raises(error, match=says) as e, trtexec.BACKEND.open(cell(tmp_path), tmp_path):
        pass
    assert "\n" not in str(e.value)
    assert not list((tmp_path / "cache").glob("*.engine"))  # nothing half-made is left


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no_times", "wrote no times file"),
        ("torn_times", "torn at character"),
        ("no_outputs", "wrote no outputs file"),
    ],
)
def test_files_of_a_run_that_are_missing_or_torn_and_never_another_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, says: str
) -> None:
    c = cell(tmp_path)
    with trtexec.BACKEND.open(c, tmp_path) as session:
        session.infer(feeds(c)[0])
        monkeypatch.setenv("FAKE_TRTEXEC", how)
        with pytest.raises(BadOutputError, match=says):
            session.infer(feeds(c)[0]) if how == "no_outputs" else session.time(feeds(c), c)


def test_without_trtexec_and_without_the_package_it_says_what_to_install() -> None:
    assert "no trtexec" in trtexec.BACKEND.missing(backends.ProbeResult())
    assert trtexec.BACKEND.missing(backends.ProbeResult(trtexec="/opt/trtexec")) == ""
    assert trtexec.BACKEND.missing(backends.ProbeResult(versions={"tensorrt-cu13": "10.16"})) == ""
    assert (
        trtexec.BACKEND.missing(backends.ProbeResult(versions={"tensorrt-rtx-cu13-libs": "1"}))
        != ""
    )


def test_a_named_trtexec_that_is_not_there_is_declined(tmp_path: Path) -> None:
    c = cell(tmp_path, trtexec=str(tmp_path / "nowhere"))
    with pytest.raises(Unsupported, match="no such executable"), trtexec.BACKEND.open(c, tmp_path):
        pass
    assert trtexec.find_program(str(tmp_path / "nowhere"), "") == ""
