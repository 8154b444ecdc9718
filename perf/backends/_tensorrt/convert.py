"""An ONNX file built into a serialized engine for the GPU here, by the tensorrt package of this Python."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.backends import DeviceMemoryExhausted, Unsupported
from perf.backends._tensorrt import builder, onnx_header
from perf.backends._tensorrt.builder import BuildFailedError, BuildRequest
from perf.backends._tensorrt.onnx_header import Header
from perf.backends._tensorrt.python_session import import_tensorrt
from perf.conversion.errors import UserError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.schema import atomic_file, shape_profiles
from perf.schema.cell import Precision
from perf.schema.shape_profiles import ShapeProfile
from perf.schema.untrusted_file import read_whole

PACKAGES = ("tensorrt", "tensorrt_bindings")
MOST_CACHE_BYTES = 64 << 20
COMMAND = "perf.cli.convert_model"
SHAPE_FLAGS = dict(
    zip(("min_shapes", "opt_shapes", "max_shapes"), shape_profiles.KEYS, strict=True)
)


def make_parser() -> CommandParser:
    """The flags of a build."""
    prog = f"{command_of(COMMAND)} --to engine"
    parser = CommandParser(
        prog, "Build a TensorRT engine from an ONNX model, for this kind of GPU and version of TensorRT.",
        examples=(
            f"{prog} net.onnx net.plan --precision fp16",
            f"{prog} net.onnx net.plan --min_shapes x:1x64 --opt_shapes x:8x64 --max_shapes x:32x64",
        ),
    )  # fmt: skip
    parser.add_argument("source", type=Path, metavar="SRC.onnx")
    parser.add_argument("destination", type=Path, metavar="DST.plan")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="default fp32"
    )
    parser.add_argument(
        "--calibration_cache",
        type=Path,
        metavar="FILE",
        help="int8's scales, by TensorRT 10 or before",
    )
    parser.add_argument("--no_tf32", action="store_true", help="products of fp32 in full")
    for flag in SHAPE_FLAGS:
        what = f"{flag[:3]}imum" if flag[:3] != "opt" else "usual"
        parser.add_argument(
            f"--{flag}", default="", metavar="X:1x3,…",
            help=f"{what} shapes of inputs whose shape is open",
        )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the engine; 0 with it there. Raises UserError for what cannot be built."""
    asked = make_parser().parse_args(arguments)
    try:
        header = onnx_header.read(asked.source)
        profiles = _profiles(asked, header)
        trt = import_tensorrt(PACKAGES)
    except ValueError as e:
        raise UserError(f"{asked.source}: {e}") from e
    except Unsupported as e:
        raise UserError(
            f"{sys.executable} has no tensorrt package, which builds engines: pip install tensorrt there, "
            f"or give this command to a Python that has it, PYTHON -m {COMMAND}"
        ) from e
    precision = Precision(asked.precision)
    scales = _scales(asked.calibration_cache, precision)
    request = BuildRequest(
        str(asked.source), precision, not asked.no_tf32, profiles, calibration=scales
    )
    try:
        if precision is Precision.FP16 and not builder.weakly_typed(trt):
            raise Unsupported(
                f"TensorRT {trt.__version__} builds what the model's types say: make an fp16 model first "
                f"({command_of(COMMAND)}), then build that without --precision"
            )
        plan, _ = builder.build(trt, request, builder.TrtLog(trt))
    except (Unsupported, BuildFailedError, DeviceMemoryExhausted) as e:
        raise UserError(f"{asked.source}: {e}") from e
    atomic_file.write_bytes(asked.destination, plan)
    words = builder.typing_regime(trt, precision)
    print(f"{asked.destination}: an engine of {len(plan) / 2**20:.1f} MiB by {words}")
    return 0


def _scales(cache: Path | None, precision: Precision) -> bytes:
    """What a calibration cache holds; raises UserError for int8 without one, or one without int8."""
    if (cache is None) is (precision is Precision.INT8):
        raise UserError("--precision int8 and --calibration_cache FILE go together")
    try:
        held = read_whole(cache, MOST_CACHE_BYTES, follow=True) if cache else b""
    except OSError as e:
        raise UserError(f"--calibration_cache {cache}: {e.strerror}") from e
    if cache and not held:
        raise UserError(f"--calibration_cache {cache}: it is empty")
    return held


def _profiles(options: Any, header: Header) -> tuple[ShapeProfile, ...]:
    """Profiles of the inputs whose shape is open; raises ValueError for one without, or that is not there."""
    given = {key: getattr(options, flag) for flag, key in SHAPE_FLAGS.items()}
    profiles = shape_profiles.from_options(given)
    names = [v.name for v in header.inputs if v.dynamic]
    known = {p.name for p in profiles}
    for name in known - {v.name for v in header.inputs}:
        raise ValueError(f"no input {name!r}: it has {', '.join(v.name for v in header.inputs)}")
    for name in names:
        if name not in known:
            flags = ", ".join(f"--{flag}" for flag in SHAPE_FLAGS)
            raise ValueError(f"the shape of input {name!r} is open: give it by {flags}")
    return tuple(p for p in profiles if p.name in names)
