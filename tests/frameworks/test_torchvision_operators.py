"""A traced detection model calls torchvision's operators, which PyTorch knows once that package is imported."""

from pathlib import Path

import pytest

from tests.frameworks.workplace import Workplace

pytestmark = pytest.mark.frameworks

PACKAGE = """
import torch
_operators = torch.library.Library("torchvision", "DEF")
_operators.define("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
_operators.impl("nms", lambda boxes, scores, iou_threshold: scores.argsort(descending=True), "CPU")
"""
TRACE = """
import torch, torchvision
class Best(torch.nn.Module):
    def forward(self, boxes, scores):
        return boxes[torch.ops.torchvision.nms(boxes, scores, 0.5)]
torch.jit.trace(Best(), (torch.rand(5, 4), torch.rand(5))).save("detector.pt")
"""


@pytest.fixture
def beside(workplace: Workplace) -> Path:
    """A folder with the operators' package, and the model traced with it."""
    folder = workplace.home / "packages"
    (folder / "torchvision").mkdir(parents=True)
    (folder / "torchvision/__init__.py").write_text(PACKAGE)
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{TRACE}"
    done = workplace.python("-c", code)
    assert done.returncode == 0, done.stderr
    return folder


def test_they_are_loaded_where_the_package_is_there(workplace: Workplace, beside: Path) -> None:
    workplace.let_torch_see(beside)
    said = workplace.run("-m", "detector.pt", "-e", "torch", "torch_script")
    assert {r["outcome"] for r in said.cells.values()} == {"Passed"}, said.out + said.err


def test_without_it_the_cell_names_the_operator_and_the_fix(
    workplace: Workplace, beside: Path
) -> None:
    said = workplace.run("-m", "detector.pt", "-e", "torch")
    (row,) = said.cells.values()
    assert row["outcome"] == "Skipped", row
    assert "calls torchvision::nms, which no package here registers" in str(row["detail"])
    assert "--env torch=PYTHON" in str(row["detail"])
