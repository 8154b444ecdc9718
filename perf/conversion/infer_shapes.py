"""Symbolic shape inference of a model, as an artefact beside a cache, never in the model's folder."""

import contextlib
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.conversion import external_data
from perf.conversion.artifact import converter_version
from perf.conversion.errors import UserError, raise_as, run_command
from perf.request.command_parser import CommandParser
from perf.request.model_file import digest_model
from perf.request.programs import command_of, install_command
from perf.schema.atomic_file import write_bytes
from perf.schema.file_lock import hold_lock


def get_or_infer(source: Path, root: Path) -> Path:
    """The model with shapes in `<root>/<key>`; made if it is not there, whoever else asks meanwhile."""
    key = f"shapes {digest_model(source)} {converter_version('onnxruntime')}"
    path = root / hashlib.sha256(key.encode()).hexdigest()[:32] / "model.shapes.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(path.parent / "lock"):
        if not path.is_file():  # the model comes last: where it is, its data is too
            infer_shapes(source, path)
    return path


def infer_shapes(source: Path, destination: Path, *, auto_merge: bool = True) -> int:
    """Write the model with inferred shapes (and its data) to `destination`; how many values got one.

    TensorRT's parser needs this for models whose subgraphs or custom ops hide their shapes. Raises
    UserError without sympy, where inference fails, and in the model's own folder.
    """
    model = external_data.read_structure(source)
    if destination.resolve().parent == source.resolve().parent:
        raise UserError(f"{destination}: lies in the model's own folder; name a cache folder")
    try:
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
    except ImportError as error:
        raise UserError(
            f"symbolic shape inference needs sympy: `{install_command('sympy', extra=True)}` fixes it"
        ) from error
    data_files = external_data.external_files(source, model)
    # Values of external tensors are looked up beside the model, without loading the weights.
    what = f"{source}: symbolic shape inference failed"
    with raise_as(UserError, what), contextlib.chdir(source.parent):
        inferred = SymbolicShapeInference.infer_shapes(model, auto_merge=auto_merge)
    for file in data_files:
        beside = destination.parent / file.relative_to(source.parent)
        external_data.copy_sparse(file.resolve(), beside)
    write_bytes(destination, inferred.SerializeToString())
    return sum(value.type.tensor_type.HasField("shape") for value in inferred.graph.value_info)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the artefact there, 2 with one line on stderr."""
    args = make_parser().parse_args(arguments)
    shaped = infer_shapes(args.source, args.destination, auto_merge=not args.no_auto_merge)
    print(f"{args.destination}: {shaped} values have a shape")
    return 0


def make_parser() -> CommandParser:
    """The flags of a shape inference."""
    prog = command_of("perf.conversion.infer_shapes")
    parser = CommandParser(
        prog, "Write a model with inferred shapes, which TensorRT needs for some, into another folder.",
        examples=(f"{prog} net/net.onnx cache/net.shapes.onnx",),
    )  # fmt: skip
    parser.add_argument("source", type=Path, metavar="SRC.onnx")
    parser.add_argument("destination", type=Path, metavar="DST.onnx")
    parser.add_argument("--no_auto_merge", action="store_true", help="do not merge unequal dims")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
