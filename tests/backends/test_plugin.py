"""A real plug-in EP, nxrt-ep-cpu, of a net of which it claims no node; the contract runs one that it claims."""

import subprocess
import sys
from pathlib import Path

import onnxruntime as ort
import pytest
from onnx import helper

from perf.backends import ProbeResult, Unsupported, plugin
from perf.measure import tensor_io
from perf.schema.cell import Cell
from perf.schema.fold import describe_fallback
from tests import models
from tests.inprocess.asking import cell, model_file, stored_sets

EP = "cpu_ep"
PLACES = Path(__file__).parents[2].glob(".envs/nxrt/lib/python*/site-packages/nxrt_ep_cpu/*.so")
LIBRARY = str(next(PLACES, "build it: python -m perf.cli.env build nxrt"))
NAMED = {"target": "NxrtCpuExecutionProvider", "library": LIBRARY, "ep_name": EP}


def asking(folder: Path, **more: object) -> Cell:
    fields = {"plugin": NAMED, **more}
    return cell(model_file(folder), EP, **fields)


def pooled(path: Path) -> Path:
    """y = the mean of each channel of x: an operator that the plug-in leaves to the CPU."""
    x = models.noise(2, (1, 2, 3, 3))
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    y = x.mean(axis=(2, 3), keepdims=True)
    return models.write(path, [node], {"x": x.shape}, {"y": y.shape}, [({"x": x}, {"y": y})])


def test_a_plugin_that_claims_no_node_is_seen(tmp_path: Path) -> None:
    folder = pooled(tmp_path / "m")
    with plugin.open_session(asking(folder), tmp_path) as session:
        session.infer(tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0]))
        placed = session.placement()
    assert placed is not None
    assert (
        describe_fallback(placed, EP, 0.0)
        == f"none of 1 nodes ran on {EP} (1 on CPUExecutionProvider)"
    )


def test_the_probe_sees_the_plugins_device_in_a_process_of_its_own() -> None:
    code = (
        "import onnxruntime as ort; from perf.backends import plugin; "
        f"print(plugin.list_devices(ort, {NAMED!r}), plugin.list_devices(ort, {NAMED!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"['{EP}'] ['{EP}']"


def test_a_plugin_without_a_device_here_is_declined(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "m")
    wanted = asking(folder, plugin={**NAMED, "ep_name": "NoSuchExecutionProvider"})
    with pytest.raises(Unsupported, match="no device"), plugin.open_session(wanted, tmp_path):
        pass


def test_a_library_may_be_what_a_package_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shipped_ep.py").write_text(f"def get_library_path():\n    return {LIBRARY!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugin.library_path("shipped_ep:get_library_path()") == LIBRARY


@pytest.mark.parametrize(
    ("library", "says"),
    [
        ("/nowhere/libep.so", "/nowhere/libep.so is not there"),
        ("no_such_package:path()", "install no_such_package"),
        ("json:no_such_function()", "no_such_function"),
        ("os;print(1):system()", "is not there"),
    ],
)
def test_a_library_that_is_not_there_is_named(library: str, says: str) -> None:
    with pytest.raises(Unsupported, match=says.replace("(", r"\(")):
        plugin.library_path(library)


def test_a_file_that_is_no_plugin_raises_the_engines_error(tmp_path: Path) -> None:
    (tmp_path / "libep.so").write_bytes(b"not a library")
    with pytest.raises(Exception, match="Failed to load library"):
        plugin.register_plugin(ort, {"library": str(tmp_path / "libep.so")}, "x")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (ProbeResult(), "no onnxruntime"),
        (ProbeResult(providers=("CPUExecutionProvider",)), "offers none on this machine"),
        (
            ProbeResult(providers=("CPUExecutionProvider",), errors={"plugin": "no libcuda"}),
            "no libcuda",
        ),
        (ProbeResult(providers=("CPUExecutionProvider",), plugin_devices=(EP,)), ""),
    ],
)
def test_what_is_missing_is_said(found: ProbeResult, says: str) -> None:
    reason = plugin.missing(found)
    assert says in reason if says else reason == ""
