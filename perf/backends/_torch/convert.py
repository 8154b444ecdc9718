"""A model in one of PyTorch's forms written as another: ONNX, TorchScript or an exported program."""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perf.backends import Unsupported
from perf.backends._torch import loading, values
from perf.backends._torch.loading import BadFormError, LoadedModel
from perf.backends._torch.setup import compiler_caches
from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.locations import environments_folder
from perf.request.model_forms import ModelFormError, read_form
from perf.request.programs import command_of
from perf.schema.model_form import ModelForm

MODULE = "perf.backends._torch.convert"
OPSET = 20  # what the onnxruntimes and engines of the environments read
_NOT_IN_NAMES = re.compile(r"[^\w./-]+")


def to_onnx(form: ModelForm, path: Path, *, open_batch: bool = False) -> None:
    """An ONNX file of the same weights, its tensors named as the module's arguments and results are.

    `open_batch` leaves the first dimension of every input open. Raises BadFormError for a form that PyTorch
    cannot export.
    """
    import torch

    loaded = _described(form)
    args, kwargs = _example_call(loaded)
    with torch.no_grad():
        outputs = values.name_outputs(loaded.module(*args, **kwargs))
        program = torch.onnx.export(
            loaded.program if loaded.program is not None else loaded.module,
            args,
            kwargs=kwargs or None,
            dynamo=True,
            opset_version=OPSET,
            input_names=[_onnx_name(n) for n in loaded.arguments.tensors()],
            output_names=[_onnx_name(n) for n in outputs],
            dynamic_shapes=_open_batch(loaded) if open_batch else None,
        )
    program.save(str(path))


def to_torchscript(form: ModelForm, path: Path, *, script: bool = False) -> None:
    """A TorchScript file, traced with the example inputs or, with `script`, compiled from the source."""
    import torch

    loaded = _described(form)
    args, kwargs = _example_call(loaded)
    with torch.no_grad():
        made = (
            torch.jit.script(loaded.module)
            if script
            else torch.jit.trace(
                loaded.module, args, example_kwarg_inputs=kwargs or None, strict=False
            )
        )
    torch.jit.save(made, str(path))


def to_export(form: ModelForm, path: Path, *, open_batch: bool = False) -> None:
    """An exported program, with its example inputs; `open_batch` leaves the first dimensions open."""
    import torch

    loaded = _described(form)
    args, kwargs = _example_call(loaded)
    with torch.no_grad():
        program = torch.export.export(
            loaded.module,
            args,
            kwargs,
            dynamic_shapes=_open_batch(loaded) if open_batch else None,
        )
    torch.export.save(program, str(path))


def _described(form: ModelForm) -> LoadedModel:
    loaded = loading.load(form)
    if not loaded.described:
        raise BadFormError(f"{form.path} tells no shapes of its inputs: name an entry point")
    return loaded


def _example_call(loaded: LoadedModel) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return loaded.arguments.call_with(list(loaded.arguments.tensors().values()))


def _open_batch(loaded: LoadedModel) -> Any:
    """Every input's first dimension left open, for torch.export."""
    import torch

    tensors = loaded.arguments.tensors()
    if len(tensors) != len(loaded.arguments.args) + len(loaded.arguments.kwargs):
        raise BadFormError("its inputs are nested: their batch cannot be left open")
    return {
        name: {0: torch.export.Dim.DYNAMIC} if t.dim() else None for name, t in tensors.items()
    }


def _onnx_name(name: str) -> str:
    """A name that every reader of ONNX takes: `images[0]` as images.0."""
    return _NOT_IN_NAMES.sub(".", name).strip(".")


WAYS: dict[str, tuple[Callable[..., None], str]] = {  # and the one flag that goes with each
    "onnx": (to_onnx, "open_batch"),
    "torchscript": (to_torchscript, "script"),
    "export": (to_export, "open_batch"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the file written. Raises UserError for what cannot be converted."""
    asked = make_parser().parse_args(arguments)
    way, flag = WAYS[asked.to]
    more = {k: True for k in ("open_batch", "script") if getattr(asked, k)}
    if wrong := more.keys() - {flag}:
        raise UserError(f"--{wrong.pop()} does not go with --to {asked.to}")
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            f"{sys.executable} has no PyTorch, which converts: give this command to the environment torch's "
            f"interpreter, {environments_folder() / 'torch' / 'bin' / 'python'} -m {MODULE}"
        )
    try:
        # what PyTorch's compiler writes while it is imported would be left in the system's folder
        with (
            tempfile.TemporaryDirectory(prefix="ep-perf-") as scratch,
            compiler_caches(Path(scratch)),
        ):
            way(read_form(asked.model, Path()), asked.path, **more)
    except (ModelFormError, BadFormError, Unsupported) as e:
        raise UserError(str(e)) from e
    return 0


def make_parser() -> CommandParser:
    """The flags of a conversion."""
    prog = command_of(MODULE)
    parser = CommandParser(
        prog, "Write a model in one of PyTorch's forms as ONNX, TorchScript or an exported program.",
        examples=(f"{prog} nets:small_cnn --to onnx -o small.onnx --open_batch",),
    )  # fmt: skip
    parser.add_argument("model", help="module:function, a .pt2 file or TorchScript")
    parser.add_argument("--to", choices=sorted(WAYS), required=True, help="the form to write")
    parser.add_argument(
        "-o", dest="path", type=Path, required=True, metavar="FILE", help="the file"
    )
    parser.add_argument("--open_batch", action="store_true", help="leave the batch open")
    parser.add_argument("--script", action="store_true", help="script the source, do not trace it")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
