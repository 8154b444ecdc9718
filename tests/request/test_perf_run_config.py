"""perf_run.py's YAML: what the document's sample says, and what is refused with the nearest name."""

import os
from pathlib import Path

import pytest

from perf.request.bad_request import BadRequestError
from perf.request.perf_run_config import ALL, InputConfig, read_config

SAMPLE = """\
backend:
  - torch
  - torch_tensorrt
  - tensorrt
  - torch_blade
input:
  input0:
    - 3
    - 224
    - 224
  num_inputs: 1
model:
  filename: model.plan
  name: vgg16
runtime:
  device: 0
  precision:
    - fp32
    - half
"""


def write(folder: Path, text: str = SAMPLE) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "model.plan").write_bytes(b"engine")
    path = folder / "net.yml"
    path.write_text(text)
    return path


def test_the_sample_of_the_document_is_read(tmp_path: Path) -> None:
    config = read_config(write(tmp_path))
    assert config.backends == ("torch", "torch_tensorrt", "tensorrt", "torch_blade") == ALL
    assert config.inputs == (InputConfig((3, 224, 224)),)
    assert config.precisions == ("fp32", "fp16")
    assert (config.name, config.device, config.batch) == ("vgg16", 0, 1)
    assert config.model == str(tmp_path / "models" / "model.plan")


@pytest.mark.parametrize("name", ["vgg16", "yolov5", "crnn"])
def test_our_own_files_are_read(name: str) -> None:
    config = read_config(Path(__file__).parents[2] / "config" / f"{name}.yml")
    assert config.backends == ALL
    assert config.model.startswith("setup_models.networks.")


def test_every_further_field_is_read(tmp_path: Path) -> None:
    text = SAMPLE.replace(
        "  input0:\n    - 3\n    - 224\n    - 224\n",
        "  input0: {min: [3, 64, 64], opt: [3, 96, 96], max: [3, 128, 128], dtype: float16}\n",
    )
    config = read_config(
        write(tmp_path, text + "batch: 4\niterations: 7\ntolerances: {rtol: 0.1}\n")
    )
    assert config.inputs == (InputConfig((3, 96, 96), (3, 64, 64), (3, 128, 128), "float16"),)
    assert (config.batch, config.iterations, config.tolerances) == (4, 7, {"rtol": 0.1})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("runtime:", "runtme:", "unknown field 'runtme'; nearest is runtime"),
        ("  device: 0", "  devise: 0", "unknown field 'devise'; nearest is device"),
        ("  - torch\n", "  - torhc\n", "'torhc' is none of them; nearest is torch"),
        ("    - half", "    - fp18", "'fp18' is none of them; nearest is fp16"),
        ("model.plan", "gone.plan", "no file gone.plan in"),
        ("  num_inputs: 1", "  num_inputs: 2", "no field 'input1'"),
        ("    - 3\n", "    - three\n", "expected a list of sizes"),
        ("  device: 0", "  device: first", "expected a number from 0 on"),
        ("    - half", "    - int8", "torch_tensorrt in int8 needs one"),
        ("model:", "model: {\n", "not YAML"),
        ("  num_inputs: 1", "  num_inputs: 10000000000", "num_inputs: expected 1 to 999"),
        ("  name: vgg16", "  name: ''", "model.name: is empty"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        read_config(write(tmp_path, SAMPLE.replace(old, new, 1)))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(BadRequestError, match="not a regular file"):
        read_config(tmp_path / "pipe.yml")


def test_int8_with_all_is_refused(tmp_path: Path) -> None:
    text = SAMPLE.replace("    - half", "    - int8").replace(
        "backend:\n  - torch\n  - torch_tensorrt\n  - tensorrt\n  - torch_blade\n",
        "backend: all\n",
    )
    with pytest.raises(BadRequestError, match="int8 cannot be used with all"):
        read_config(write(tmp_path, text))
