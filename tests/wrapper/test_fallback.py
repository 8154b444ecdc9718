"""No silent fallback: what ran elsewhere than asked is no latency, whatever provider lists say."""

from pathlib import Path

import pytest
from onnx import helper

from perf.schema.record import FellBack, Passed, Skipped
from tests import models
from tests.asking import ROOT, Said, ask

QUICK = ("-i", "zoo", "-t", "4", "--launches", "2", "-r", "both")
NXRT = f"""
[current]
python = "current"

[nxrt]
python = "{ROOT}/.envs/nxrt/bin/python"
default = false
plugin = {{ target = "NxrtCpuExecutionProvider", library = "nxrt_ep_cpu:get_library_path()", ep_name = "cpu_ep" }}

[gpu]
python = "current"
targets = ["CUDAExecutionProvider", "CUDAExecutionProvider_fp16", "TensorrtExecutionProvider"]
"""


OPENVINO = f"""
[current]
python = "current"

[openvino]
python = "{ROOT}/.envs/openvino/bin/python"
targets = ["OpenVINOExecutionProvider"]
"""


def no_latency(said: Said, target: str, model: str = "relu") -> None:
    """Nothing of the cell's timing is anywhere in the tables."""
    row = said.cells[f"{model}::{target}"]
    assert row["samples"] is None
    assert {k for k, v in row.items() if k.endswith("_ms") and v not in (None, [], {})} <= {
        "first_run_ms"
    }
    (latency,) = said.table("latency")
    assert latency[f"{target} mean (ms)"] == latency[f"{target} samples"] == ""
    assert latency[f"{target} status"] in ("Fail", "Skipped")
    assert target not in {r["device"] for r in said.table("success")}


def test_azure_runs_no_node_and_so_falls_back(shared_home: Path) -> None:
    said = ask(shared_home, *QUICK, "-e", "azure", "cpu", "--models", "relu", out="azure")
    assert said.status == 0  # a fallback is a finding
    outcome = said.records["relu::AzureExecutionProvider"].outcome
    assert outcome == FellBack(
        "none of 1 nodes ran on AzureExecutionProvider (1 on CPUExecutionProvider)"
    )
    assert said.records["relu::CPUExecutionProvider"].outcome == Passed()
    no_latency(said, "AzureExecutionProvider")
    (fail,) = said.table("fail")
    assert (fail["exact outcome"], fail["stage"]) == ("FellBack", "place")
    assert "1 FellBack" in said.out


def pooled(path: Path) -> Path:
    """y = the mean of each channel of x: an operator that the plug-in leaves to the CPU."""
    x = models.noise(2, (1, 2, 3, 3))
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    y = x.mean(axis=(2, 3), keepdims=True)
    return models.write(path, [node], {"x": x.shape}, {"y": y.shape}, [({"x": x}, {"y": y})])


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """One run on a plug-in EP that claims no node, and on GPU targets of a machine without a GPU."""
    home = tmp_path_factory.mktemp("plugged") / "home"
    home.mkdir()
    (home / "environments.toml").write_text(NXRT, encoding="utf-8")
    pooled(home / "models" / "pooled")
    return ask(
        home, *QUICK, "-e", "cpu", "nxrt", "CUDAExecutionProvider", "TensorrtExecutionProvider"
    )


def test_a_plug_in_that_claims_no_node_falls_back(plugged: Said) -> None:
    outcome = plugged.records["pooled::NxrtCpuExecutionProvider"].outcome
    assert outcome == FellBack("none of 1 nodes ran on cpu_ep (1 on CPUExecutionProvider)")
    no_latency(plugged, "NxrtCpuExecutionProvider", "pooled")


@pytest.mark.parametrize("target", ["CUDAExecutionProvider", "TensorrtExecutionProvider"])
def test_a_gpu_target_without_a_gpu_is_skipped_with_its_reason(plugged: Said, target: str) -> None:
    outcome = plugged.records[f"pooled::{target}"].outcome
    assert outcome == Skipped("no device: NVML sees no NVIDIA GPU here")
    no_latency(plugged, target, "pooled")


def test_a_named_target_that_could_not_run_at_all_is_status_1(plugged: Said) -> None:
    assert plugged.status == 1
    assert plugged.records["pooled::CPUExecutionProvider"].outcome == Passed()


def determinants(path: Path) -> Path:
    """y = -det(2 * sigmoid(relu(x))): one node of five that OpenVINO leaves to the CPU."""
    chain = (
        ("Relu", "x", "a"),
        ("Sigmoid", "a", "b"),
        ("Add", "b", "c"),
        ("Det", "c", "d"),
        ("Neg", "d", "y"),
    )
    nodes = [
        helper.make_node(op, [given] * (2 if op == "Add" else 1), [made])
        for op, given, made in chain
    ]
    x = models.noise(1, (4, 8, 8))
    return models.write(path, nodes, {"x": x.shape}, {"y": (4,)}, [({"x": x}, {})])


def test_partial_placement_passes_with_its_share_and_fails_below_the_gate(tmp_path: Path) -> None:
    home = tmp_path / "home"
    determinants(home / "models" / "determinants")
    (home / "environments.toml").write_text(OPENVINO, encoding="utf-8")
    words = (*QUICK, "-e", "ov")
    row = ask(home, *words).cells["determinants::OpenVINOExecutionProvider"]
    assert row["outcome"] == "Passed"
    assert (row["ops_on_ep"], row["total_ops"], row["ratio_of_ops_on_ep"]) == (4, 5, 0.8)
    assert row["ops_elsewhere"] == {"CPUExecutionProvider/Det": 1}
    assert row["partitions_on_ep"] == 2
    assert sorted(row["partition_nodes"]) == [1, 3]  # before Det and after it
    assert len(row["partition_us"]) == 2
    assert sum(row["partition_us"].values()) == pytest.approx(row["host_time_on_ep_us"])
    assert row["p50_ms"] > 0
    said = ask(home, *words, "--min_ep_share", "0.9")
    gated = said.cells["determinants::OpenVINOExecutionProvider"]
    assert gated["detail"] == (
        "4 of 5 nodes on OpenVINOExecutionProvider, less than --min_ep_share 0.9 "
        "(1 on CPUExecutionProvider)"
    )
    assert (gated["outcome"], gated["p50_ms"], said.status) == ("FellBack", None, 0)
    assert ask(home, *words, "--min_ep_share", "0.9", "--strict").status == 1
