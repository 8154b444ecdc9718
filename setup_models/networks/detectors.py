"""Detection models of the families that detectron2 has, each by detectron2, torchvision, or in plain PyTorch.

Plain PyTorch is what a CPU build has, which torchvision does not load beside: a residual backbone, feature
pyramid, anchors, region heads and NMS of the same kinds, smaller, so that a table on a CPU ends in minutes.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from setup_models.networks.region_heads import Cascade, MaskHead, paste_masks
from setup_models.networks.retinanet import Backbone, RetinaNet, select

CPU_SIZE, GPU_SIZE = 128, 800  # of an image's side
ZOO = "COCO-InstanceSegmentation/mask_rcnn_R_50_"
DETECTRON2 = {
    "cascade_rcnn": "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
    "mask_rcnn_c4": f"{ZOO}C4_3x.yaml",
    "mask_rcnn_fpn": f"{ZOO}FPN_3x.yaml",
    "retinanet": "COCO-Detection/retinanet_R_50_FPN_3x.yaml",
}
TORCHVISION = {
    "cascade_rcnn": "fasterrcnn_resnet50_fpn_v2",
    "mask_rcnn_c4": "maskrcnn_resnet50_fpn",
    "mask_rcnn_fpn": "maskrcnn_resnet50_fpn",
    "retinanet": "retinanet_resnet50_fpn",
}


def implementation() -> str:
    """Who makes the models here: detectron2, torchvision where its operators load, else plain."""
    if importlib.util.find_spec("detectron2") is not None:
        return "detectron2"
    if importlib.util.find_spec("torchvision") is not None:
        try:
            importlib.import_module("torchvision")
        except (
            ImportError,
            RuntimeError,
        ):  # a torchvision of another PyTorch: its operators are not there
            return "plain"
        return "torchvision"
    return "plain"


def cascade_rcnn() -> tuple[nn.Module, Any]:
    """Boxes refined in three stages."""
    return _made("cascade_rcnn", lambda: TwoStage(Cascade(3), masks=False, pyramid=True))


def mask_rcnn_c4() -> tuple[nn.Module, Any]:
    """Boxes and masks from one map of stride 16."""
    return _made("mask_rcnn_c4", lambda: TwoStage(Cascade(1), masks=True, pyramid=False))


def mask_rcnn_fpn() -> tuple[nn.Module, Any]:
    """Boxes and masks from a feature pyramid."""
    return _made("mask_rcnn_fpn", _mask_rcnn)


def mask_rcnn_fpn_b2() -> tuple[nn.Module, Any]:
    """The same, two images a call."""
    return _made("mask_rcnn_fpn", _mask_rcnn, batch=2)


def mask_rcnn_fpn_pproc() -> tuple[nn.Module, Any]:
    """The same, masks pasted into the image."""
    return _made("mask_rcnn_fpn", lambda: Pasted(_mask_rcnn()), paste=True)


def retinanet() -> tuple[nn.Module, Any]:
    """One stage: class scores and boxes for every anchor, then NMS."""
    return _made("retinanet", RetinaNet)


def _mask_rcnn() -> nn.Module:
    return TwoStage(Cascade(1), masks=True, pyramid=True)


def _made(
    family: str, plain: Callable[[], nn.Module], batch: int = 1, paste: bool = False
) -> tuple[nn.Module, Any]:
    size = GPU_SIZE if torch.cuda.is_available() else CPU_SIZE
    match implementation():
        case "detectron2":
            made = _by_detectron2(DETECTRON2[family], postprocess=paste)
        case "torchvision":
            made = _by_torchvision(TORCHVISION[family])
        case _:
            made = plain()
    image = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    return made.eval(), (image,)


def _by_torchvision(name: str) -> nn.Module:
    from torchvision.models import detection

    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=91)
    for part in model.modules():  # heads of random weights find nothing above the usual threshold
        if hasattr(part, "score_thresh"):
            part.score_thresh = 0.0
    return Listed(model)


class Listed(nn.Module):  # type: ignore[misc]
    """A batch as the list of images that torchvision's models take, results as a flat tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes, scores, labels (and masks) of each image in turn."""
        found = self.model(list(images.unbind(0)))
        results = (
            found[1] if isinstance(found, tuple) else found
        )  # scripted, it returns losses too
        return tuple(one[key] for one in results for key in one)


def _by_detectron2(config: str, *, postprocess: bool) -> nn.Module:
    from detectron2 import export, model_zoo

    model = model_zoo.get(config, trained=False, device="cpu").eval()

    def inference(model: Any, inputs: Any) -> Any:
        return [{"instances": i} for i in model.inference(inputs, do_postprocess=postprocess)] \
            if not postprocess else model.inference(inputs)  # fmt: skip

    image = torch.rand(3, CPU_SIZE, CPU_SIZE)
    return export.TracingAdapter(model, [{"image": image}], inference_func=inference)


class TwoStage(nn.Module):  # type: ignore[misc]
    """Proposals from anchors, then boxes, scores and masks of the best, in plain PyTorch."""

    def __init__(self, boxes: Cascade, *, masks: bool, pyramid: bool) -> None:
        super().__init__()
        self.backbone = Backbone(pyramid=pyramid)
        self.proposals = RetinaNet(classes=1, backbone=self.backbone)
        self.boxes = boxes
        self.masks = MaskHead() if masks else None

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes, scores, labels and masks, a row of each for every image."""
        maps = self.backbone(images)
        scores, boxes = self.proposals.dense(maps, images)
        regions, _, _ = select(scores, boxes, 32)
        refined, scores = self.boxes(maps[0], regions, images.shape[-1])
        kept, best, labels = select(scores, refined, 16)
        if self.masks is None:
            return kept, best, labels
        return kept, best, labels, self.masks(maps[0], kept, images.shape[-1])


class Pasted(nn.Module):  # type: ignore[misc]
    """Masks put where their boxes are in the image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the model's, with masks of the image's size."""
        boxes, scores, labels, masks = self.model(images)
        return boxes, scores, labels, paste_masks(masks, boxes, images.shape[-1])
