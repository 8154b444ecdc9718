"""What a device can compute at most, and what one item of a known model takes.

Peaks are dense TFLOP/s of NVIDIA's datasheets: V100 SXM2 (2017), T4 (2018), RTX A6000 (2020), A100 (2020),
A2 (2021), H100 SXM (2022), L4 (2023), H200 SXM (2023); RTX 4060 Ti: the Ada architecture's whitepaper. Half
precision is that of tensor cores. FLOPs are twice the multiply-adds that the models' papers or repositories
give for their usual input. What a device reached in a large product (setup_models/networks/gemm.py) stands
beside its datasheet where it was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """TFLOP/s of a device by arithmetic."""

    fp32: float
    half: float
    tf32: float | None = None


PEAKS = {
    "V100": Peak(15.7, 125.0),
    "T4": Peak(8.1, 65.0),
    "A6000": Peak(38.7, 154.8, 77.4),
    "A2": Peak(4.5, 18.0, 9.0),
    "L4": Peak(30.3, 121.0, 60.0),
    "A100": Peak(19.5, 312.0, 156.0),
    "H100": Peak(67.0, 989.0, 494.0),
    "H200": Peak(67.0, 989.0, 494.0),
    "4060 Ti": Peak(22.1, 88.0, 44.0),
}
GFLOP = {  # of one item, and the pixels of the image that it is of
    "densenet201": (8.6, 224 * 224),
    "vgg16": (31.0, 224 * 224),
    "yolov5s": (16.5, 640 * 640),
    "resnet50": (8.2, 224 * 224),
}
YOLO_LEAST = (
    320 * 320
)  # published tables do not always say their image's size: the least that is usual


def find_peak(device: str) -> Peak | None:
    """The peak of a device by a name that holds its own, the longest first; None where it is not known."""
    names = sorted(PEAKS, key=len, reverse=True)
    return next((PEAKS[n] for n in names if n.lower() in device.lower()), None)


def peak_tflops(peak: Peak, precision: str) -> float:
    """The most that any arithmetic of a precision reaches."""
    if "16" in precision or "half" in precision or "int8" in precision:
        return peak.half
    return peak.tf32 or peak.fp32 if "tf32" in precision else peak.fp32


def find_gflop(model: str, pixels: int = 0) -> float | None:
    """What an item of a model takes, for an image of so many pixels; None where it is not known.

    Without a size, at the least that is usual. Such nets are convolutions, whose work grows with the pixels.
    """
    name = "".join(c for c in model.lower() if c.isalnum())
    found = next((v for k, v in GFLOP.items() if k in name), None)
    if found is None:
        return None
    gflop, of_pixels = found
    return gflop * (pixels or min(of_pixels, YOLO_LEAST)) / of_pixels


def format_reached(reached: Mapping[tuple[str, str], float]) -> list[str]:
    """What devices reached in a large product beside what their datasheets say, a line each."""
    lines = []
    for (device, precision), tflops in reached.items():
        peak = find_peak(device)
        told = (
            f"{peak_tflops(peak, precision):g} by its datasheet" if peak else "no datasheet known"
        )
        lines.append(f"peak: {device or 'CPU'} {precision}: {tflops:.3g} TFLOP/s measured, {told}")
    return lines
