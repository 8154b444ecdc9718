"""PyTorch's engines where their packages are not: what is said, without PyTorch to say it."""

import os
import sys
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perf.backends import ProbeResult, Session, Unsupported, torch_blade, torch_tensorrt
from perf.backends._torch import setup
from perf.schema.cell import Cell
from perf.schema.model_form import Format, ModelForm
from tests.fakes.trt_cells import cell

SCRIPT = ModelForm(Format.TORCHSCRIPT, "/m.ts", "0" * 64)
Open = Callable[[Cell, Path, Callable[[str], Any]], AbstractContextManager[Session]]


@pytest.mark.parametrize(
    ("open_with", "fix"),
    [
        (torch_tensorrt.open_with, "--env NAME=PYTHON"),
        (torch_blade.open_with, "build it for this PyTorch"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'x'"), OSError("libnvinfer.so.11: cannot open")],
)
def test_a_package_that_cannot_be_imported_is_declined_with_the_reason_and_the_fix(
    tmp_path: Path, open_with: Open, fix: str, error: Exception
) -> None:
    def load(_name: str) -> Any:
        raise error

    asked = replace(cell(tmp_path), form=SCRIPT)
    with pytest.raises(Unsupported) as declined, open_with(asked, tmp_path, load):
        pass
    assert str(error) in str(declined.value)
    assert fix in str(declined.value)
    assert "\n" not in str(declined.value)


def test_a_build_for_the_cpu_takes_no_gpu() -> None:
    gpus = ("NVIDIA H200",)
    assert setup.takes_gpu(ProbeResult(gpus=gpus, versions={"torch": "2.11.0+cu130"}))
    assert not setup.takes_gpu(ProbeResult(gpus=gpus, versions={"torch": "2.13.0+cpu"}))
    assert not setup.takes_gpu(ProbeResult(gpus=(), versions={"torch": "2.11.0+cu130"}))
    assert not setup.takes_gpu(ProbeResult(gpus=gpus))


def test_a_missing_compiler_is_declined_with_what_brings_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setup.require_compiler()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"g\+\+ is not there: apt-get install g\+\+"):
        setup.require_compiler()


def test_missing_headers_of_python_are_declined_with_what_brings_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with pytest.raises(Unsupported, match=rf"Python\.h.*apt-get install python{version}-dev"):
        setup.require_compiler()


def test_compilers_are_sent_to_the_cells_cache_and_called_back_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with setup.compiler_caches(tmp_path):
        for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TMPDIR"):
            assert os.environ[name].startswith(str(tmp_path))
    assert os.environ["TRITON_CACHE_DIR"] == "/mine"
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
