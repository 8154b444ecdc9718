"""A form of a model as a module: from its entry point, or read from a file without running its code."""

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perf.backends import ModelInputs, Unsupported
from perf.backends._torch.values import Arguments, onnx_type_of, to_array
from perf.schema.model_form import Format, InputSpec, ModelForm

_UNKNOWN_OPERATOR = re.compile(r"Unknown builtin op: ((\w+)::\w+)")
SEED = 0  # weights that an entry point draws are the same in every process


class BadFormError(Exception):
    """A form does not hold what its kind should; the message is one line that says what to do."""


@dataclass(frozen=True)
class LoadedModel:
    """A module, how it is called, and the program it came from, where it is one of torch.export's."""

    module: Any
    arguments: Arguments
    program: Any = None
    described: bool = True  # whether the arguments are real examples, with shapes and types


def load(form: ModelForm) -> LoadedModel:
    """Load a form on the CPU, in the types that it has; raises BadFormError or Unsupported."""
    match form.format:
        case Format.ENTRY_POINT:
            return _called(form)
        case Format.EXPORTED:
            return _exported(form)
        case Format.TORCHSCRIPT:
            return _scripted(form)
        case Format.PICKLE:
            return _unpickled(form)
        case _:
            raise Unsupported(f"PyTorch loads no {form.format.value}")


def describe(form: ModelForm) -> ModelInputs:
    """What a form takes: its example inputs; of a scripted file that has none, the names alone."""
    loaded = load(form)
    tensors = loaded.arguments.tensors()
    dims = _program_dims(loaded.program) if loaded.program is not None else {}
    specs = tuple(InputSpec(name, onnx_type_of(t), dims.get(name)) for name, t in tensors.items())
    return ModelInputs(
        specs, {n: to_array(t) for n, t in tensors.items()} if loaded.described else {}
    )


def _called(form: ModelForm) -> LoadedModel:
    import torch

    module_name, _, function_name = form.entry.partition(":")
    with _importing_from(form.folder):
        module = importlib.import_module(module_name)
        function = getattr(module, function_name, None)
        if not callable(function):
            raise BadFormError(f"{form.path} has no function {function_name!r}")
        torch.manual_seed(SEED)
        try:
            made = function()
        except (ValueError, OSError) as e:  # it says what is wrong with what it read
            raise BadFormError(f"{form.entry}: {' '.join(str(e).split())}") from e
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[0])):
        raise BadFormError(
            f"{form.entry} must return (module, example inputs), got {type(made).__name__}: "
            "return e.g. `module, (torch.zeros(1, 3, 224, 224),)`"
        )
    model, inputs = made
    if isinstance(model, torch.nn.Module):
        model.eval()
    return LoadedModel(model, _arguments(model, inputs, form.entry))


def _arguments(model: Any, inputs: Any, entry: str) -> Arguments:
    """Example inputs as a call: a tuple of positional ones, or a dictionary by parameter."""
    import torch

    if isinstance(inputs, Mapping):
        return Arguments((), dict(inputs))
    args = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    found = Arguments(args, names=_parameter_names(model))
    if not found.tensors():
        raise BadFormError(f"{entry}: no tensor among its example inputs")
    return found


def _parameter_names(model: Any) -> tuple[str, ...]:
    forward = getattr(model, "forward", model)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if p.kind in kinds)


@contextlib.contextmanager
def _importing_from(folder: str) -> Iterator[None]:
    """An entry point's own folder first among those that modules are imported from."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _exported(form: ModelForm) -> LoadedModel:
    import torch

    with refusing_pickles():
        program = torch.export.load(form.path)
    given = program.example_inputs
    if given is None:
        raise BadFormError(
            f"{form.path} holds no example inputs: export it again with torch.export.save"
        )
    args, kwargs = given
    names = tuple(str(n) for n in program.graph_signature.user_inputs)
    return LoadedModel(program.module(), Arguments(tuple(args), dict(kwargs), names), program)


@contextlib.contextmanager
def refusing_pickles() -> Iterator[None]:
    """Have torch.load read tensors alone: parts of an exported program may be pickles of anything."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before


def _program_dims(program: Any) -> dict[str, tuple[int | None, ...]]:
    """The dimensions of an exported program's inputs; those that it takes any size of are None."""
    users = set(program.graph_signature.user_inputs)
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in users]
    return {
        n.name: tuple(d if isinstance(d, int) else None for d in n.meta["val"].shape)
        for n in placeholders
        if hasattr(n.meta.get("val"), "shape")
    }


def _scripted(form: ModelForm) -> LoadedModel:
    """TorchScript on the CPU; a traced file keeps the shapes and types that it was traced with."""
    import torch

    module = _read_script(form.path).eval()
    inputs = list(module.graph.inputs())[1:]  # the first is the module
    names = tuple(i.debugName().partition(".")[0] for i in inputs)
    examples = [_example(i.type()) for i in inputs]
    described = all(e is not None for e in examples)
    args = tuple(torch.zeros(1) if e is None else e for e in examples)
    return LoadedModel(module, Arguments(args, names=names), described=described)


def _read_script(path: str) -> Any:
    """A script, with torchvision's operators where it calls them: its import registers them.

    Raises Unsupported where it calls operators that no package here has.
    """
    import torch

    def read() -> Any:
        return torch.jit.load(path, map_location="cpu", _restore_shapes=True)

    try:
        return read()
    except RuntimeError as e:
        found = _UNKNOWN_OPERATOR.search(str(e))
        if not found:
            raise
        operator, library = found[1], found[2]
    if library == "torchvision":  # no other: a file must not say what is imported
        with contextlib.suppress(
            ImportError, RuntimeError
        ):  # torch 2.13's CPU build cannot load it
            importlib.import_module(library)
            return read()
    raise Unsupported(
        f"{path} calls {operator}, which no package here registers: name an interpreter in which {library} "
        "can be imported beside PyTorch (--env torch=PYTHON)"
    )


def _example(kind: Any) -> Any:
    """Values of a tensor's traced shape and type; None where it has none to tell."""
    import torch

    if kind.kind() != "TensorType":
        raise Unsupported(
            f"a TorchScript input is a {kind}: only tensors can be fed; name an entry point that builds it"
        )
    sizes = kind.sizes() if hasattr(kind, "sizes") else None
    dtype = kind.dtype() if hasattr(kind, "dtype") else None
    if sizes is None or dtype is None or any(n is None for n in sizes):
        return None
    if not dtype.is_floating_point:
        return torch.zeros(sizes, dtype=dtype)  # an index or a mask that is surely valid
    return torch.rand(sizes, generator=torch.Generator().manual_seed(SEED)).to(dtype)


def _unpickled(form: ModelForm) -> LoadedModel:
    """A module saved whole, which the user said may run its code; its inputs are what a model list says."""
    import torch

    module = torch.load(form.path, map_location="cpu", weights_only=False)
    if not isinstance(module, torch.nn.Module):
        raise BadFormError(
            f"{form.path} holds a {type(module).__name__}, not a module: name an entry point that makes the "
            "module and loads it"
        )
    names = _parameter_names(module.eval())
    args = tuple(torch.zeros(1) for _ in names) or (torch.zeros(1),)
    return LoadedModel(module, Arguments(args, names=names), described=False)
