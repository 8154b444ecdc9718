"""The image flavours fit each other, and each way of not fitting is found."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from docker import versions as v

HOME = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ours() -> v.PinnedVersions:
    return v.load()


def changed(ours: v.PinnedVersions, name: str, **fields: object) -> v.PinnedVersions:
    flavour = replace(ours.flavours[name], **fields)  # type: ignore[arg-type]
    return replace(ours, flavours={**ours.flavours, name: flavour})


def test_ours_fit(ours: v.PinnedVersions) -> None:
    assert v.problems(ours) == ()
    assert set(ours.flavours) == {"cpu", "torch", "cuda", "trt10", "trt11"}


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("cpu", {"image": "debian:bookworm-slim"}, "is not pinned"),
        ("cpu", {"tensorrt": "10.14"}, "names GPU parts but no cuda"),
        ("cpu", {"targets": ("torch",)}, "promises torch without a torch"),
        ("cpu", {"lab": ("jupyterlab==4.6.6",)}, "promises jupyterlab==4.6.6 without a torch"),
        ("torch", {"torch": "2.1"}, "torch '2.1' has no table of its own"),
        ("torch", {"python": "3.12"}, "torch 2.14.1 was not tried with Python 3.12"),
        ("torch", {"lab": ("jupyterlab",)}, "jupyterlab is not pinned"),
        ("cuda", {"cuda": "12.8"}, "has no table of its own"),
        ("cuda", {"cudnn": 8}, "needs cuDNN 9, the image has 8"),
        ("cuda", {"python": "3.10"}, "no wheel for Python 3.10"),
        ("cuda", {"architectures": (70,)}, "older than CUDA 13.0 supports"),
        ("cuda", {"architectures": (100,)}, "no kernels for architecture 100"),
        ("cuda", {"cuda": "13.3"}, "is not CUDA 13.3 with cuDNN"),
        ("cuda", {"targets": ("Standalone_TRT",)}, "promises Standalone_TRT without a tensorrt"),
        ("trt10", {"tensorrt": "11.1"}, "loads libnvinfer.so.10, TensorRT 11.1 brings"),
        ("trt10", {"tensorrt": "9.0"}, "tensorrt '9.0' has no table of its own"),
        ("trt11", {"tensorrt": "10.14"}, "is for CUDA 13.0, the image has 13.3"),
        ("trt11", {"targets": ("TensorrtExecutionProvider",)}, "no TensorrtExecutionProvider"),
    ],
)
def test_what_does_not_fit_is_named(
    ours: v.PinnedVersions, name: str, fields: dict[str, object], said: str
) -> None:
    found = v.problems(changed(ours, name, **fields))
    assert found
    assert all(p.startswith(f"flavours.{name}: ") for p in found)
    assert any(said in p for p in found), found


def test_a_wheel_of_another_cuda_does_not_fit(ours: v.PinnedVersions) -> None:
    for cuda in ("12.8", "13.4"):
        ort = {"1.31.1": replace(ours.ort["1.31.1"], cuda=cuda)}
        assert any(f"was built with CUDA {cuda}" in p for p in v.problems(replace(ours, ort=ort)))


def test_arguments_reach_the_dockerfile(ours: v.PinnedVersions) -> None:
    declared = set(
        re.findall(r"^ARG (\w+)", (HOME / "docker/Dockerfile").read_text(), flags=re.MULTILINE)
    )
    stages = set(re.findall(r" AS ([\w-]+)", (HOME / "docker/Dockerfile").read_text()))
    for name, flavour in ours.flavours.items():
        assert flavour.target in stages
        arguments = v.build_arguments(ours, name)
        assert set(arguments) <= declared
        assert arguments["BASE_IMAGE"] == flavour.image
        if flavour.cuda:
            assert f"libraries-{arguments['LIBRARIES']}" in stages
            assert f"ort-{arguments['ORT_FROM']}" in stages


def test_a_branch_means_source(ours: v.PinnedVersions) -> None:
    arguments = v.build_arguments(ours, "trt10", "rel-1.31.0")
    assert arguments["ORT_FROM"] == "source"
    assert arguments["ORT_BRANCH"] == "rel-1.31.0"
    assert arguments["CUDA_ARCHITECTURES"] == "75-real;80-real;86-real;89-real;90-real;120-real"
    assert "ORT_REQUIREMENT" not in arguments
    with pytest.raises(ValueError, match="leave -b out"):
        v.build_arguments(ours, "cpu", "main")


def test_the_default_base_is_the_cpu_flavours(ours: v.PinnedVersions) -> None:
    assert (
        f"ARG BASE_IMAGE={ours.flavours['cpu'].image}\n"
        in (HOME / "docker/Dockerfile").read_text()
    )


def test_cuda_names_the_tensorrt_flavour(ours: v.PinnedVersions) -> None:
    assert (v.flavour_on(ours, "13.0"), v.flavour_on(ours, "13.3")) == ("trt10", "trt11")
    with pytest.raises(ValueError, match=r"no TensorRT flavour on CUDA '11\.0': choose from"):
        v.flavour_on(ours, "11.0")


def test_the_program_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert v.main(["check"]) == 0
    assert capsys.readouterr().out == "5 flavours fit: cpu, cuda, trt10, trt11, torch\n"
    assert v.main(["target", "trt11"]) == 0
    assert capsys.readouterr().out == "gpu\n"
    assert v.main(["arguments", "trt12"]) == 2
    assert capsys.readouterr().err == (
        "versions.py: no flavour 'trt12': choose from cpu, cuda, trt10, trt11, torch\n"
    )


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "versions.toml").write_text("[ort]\n")
    with pytest.raises(ValueError, match="is not a list of versions"):
        v.load(tmp_path / "versions.toml")
