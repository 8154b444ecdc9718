"""Engines are kept by all that can change them, and built by one process at a time."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perf.backends._tensorrt import engine_cache
from perf.schema import file_lock
from perf.schema.cell import Precision
from perf.schema.shape_profiles import ShapeProfile
from tests.fakes.trt_cells import cell, half

PROFILE = ShapeProfile("x", (1, 3), (2, 3), (4, 3))


def driver(folder: Path, board: str, version: str = "580.65.06") -> Path:
    """The files by which NVIDIA's driver names its boards and itself."""
    gpu = folder / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text(f"Model: \t\t {board}\nIRQ:   \t\t 99\n")
    (folder / "version").write_text(
        f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}\nGCC\n"
    )
    return folder


def test_whatever_changes_an_engine_changes_its_file(tmp_path: Path) -> None:
    c, cache = cell(tmp_path), tmp_path / "cache"
    h100 = driver(tmp_path / "a", "NVIDIA H100 PCIe")
    h200 = driver(tmp_path / "b", "NVIDIA H200")
    newer = driver(tmp_path / "c", "NVIDIA H100 PCIe", "590.10")
    plain = (c, cache, "trtexec 10.6.0", "m.onnx", (PROFILE,), h100)
    files = [
        engine_cache.engine_file(*plain),
        engine_cache.engine_file(half(c), *plain[1:]),
        engine_cache.engine_file(replace(c, tf32=True), *plain[1:]),
        engine_cache.engine_file(replace(c, options={"build": "1"}), *plain[1:]),
        engine_cache.engine_file(replace(c, model=replace(c.model, sha256="1" * 64)), *plain[1:]),
        engine_cache.engine_file(c, cache, "trtexec 11.1.0", *plain[3:]),
        engine_cache.engine_file(*plain[:4], (), h100),
        engine_cache.engine_file(*plain[:5], h200),
        engine_cache.engine_file(*plain[:5], newer),
    ]
    assert len(set(files)) == len(files)
    assert engine_cache.engine_file(*plain) == files[0]
    told = json.loads(files[0].with_suffix(".json").read_text())
    assert told["boards"] == [
        "NVIDIA H100 PCIe",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06",
    ]
    assert told["precision"] == Precision.FP32.value


def test_without_a_driver_there_are_no_boards(tmp_path: Path) -> None:
    assert engine_cache.boards(tmp_path) == []


def test_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    lock = tmp_path / "e.lock"
    with (
        engine_cache.hold_engine_lock(tmp_path / "e.engine"),
        pytest.raises(file_lock.LockTaken),
        file_lock.hold_lock(lock, wait=False),
    ):
        pass
    with file_lock.hold_lock(lock, wait=False):
        pass
