"""Nested arguments and results of a module as named tensors, and tensors as arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perf.backends import Tensors, Unsupported

if TYPE_CHECKING:
    import numpy as np

_BFLOAT16 = 16  # TensorProto.DataType


@dataclass(frozen=True)
class Arguments:
    """How a module is called: example values, tensors among them, and what its parameters are named."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of the positional ones, as far as they are known

    def tensors(self) -> dict[str, Any]:
        """Every tensor in the arguments by name: `x`, `images[1]`, `batch.mask`."""
        out: dict[str, Any] = {}
        for name, value in self._named():
            out.update(_leaves(value, name))
        return out

    def call_with(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with these tensors, in the order of `tensors()`, in place of the examples."""
        rest = iter(tensors)
        filled = [_filled(value, rest) for _, value in self._named()]
        args, values = filled[: len(self.args)], filled[len(self.args) :]
        return tuple(args), dict(zip(self.kwargs, values, strict=True))

    @property
    def flat(self) -> bool:
        """Whether the module is called with its tensors in order, and nothing else."""
        import torch

        return not self.kwargs and all(isinstance(a, torch.Tensor) for a in self.args)

    def _named(self) -> Iterator[tuple[str, Any]]:
        for i, value in enumerate(self.args):
            yield (self.names[i] if i < len(self.names) else f"input_{i}"), value
        yield from self.kwargs.items()


def name_outputs(result: Any) -> dict[str, Any]:
    """Every tensor in a result: `output`; `output_0`, …; a dictionary's keys; `output_0[1].mask` below."""
    if isinstance(result, Mapping):
        return {n: t for key, value in result.items() for n, t in _leaves(value, str(key))}
    if isinstance(result, (tuple, list)):
        return {n: t for i, v in enumerate(result) for n, t in _leaves(v, f"output_{i}")}
    return dict(_leaves(result, "output"))


def order_feed(feed: Tensors, names: Sequence[str]) -> list["np.ndarray"]:
    """A feed in the order of a module's tensors: by name where the names are the same, else by position.

    Raises Unsupported where their numbers differ.
    """
    if set(feed) == set(names):
        return [feed[n] for n in names]
    if len(feed) != len(names):
        raise Unsupported(
            f"the module takes {len(names)} tensors ({', '.join(names)}) and {len(feed)} are fed "
            f"({', '.join(feed)})"
        )
    return list(feed.values())


def to_tensor(array: "np.ndarray") -> Any:
    """A tensor on the array's own memory; raises Unsupported for types that PyTorch lacks."""
    import numpy as np
    import torch

    from perf.measure import tensor_io

    if isinstance(array, tensor_io.Coded):
        if array.onnx_type != _BFLOAT16:
            raise Unsupported(f"PyTorch is fed no tensors of ONNX type {array.onnx_type} here")
        codes = np.ascontiguousarray(np.asarray(array)).view(np.int16)
        return torch.from_numpy(codes).view(torch.bfloat16)
    if array.dtype.kind in "OUS":
        raise Unsupported("PyTorch has no tensors of strings")
    whole = array if array.flags.c_contiguous and array.flags.writeable else array.copy()
    return torch.from_numpy(whole)


def needs_making(array: "np.ndarray") -> bool:
    """Whether an array is no tensor as it lies in memory: codes, or memory that PyTorch cannot share."""
    from perf.measure import tensor_io

    shared = array.flags.c_contiguous and array.flags.writeable
    return isinstance(array, tensor_io.Coded) or not shared


def to_array(tensor: Any) -> "np.ndarray":
    """An array with a tensor's values, on the host; bfloat16 as its codes."""
    import numpy as np
    import torch

    from perf.measure import tensor_io

    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    if plain.dtype == torch.bfloat16:
        codes = plain.contiguous().view(torch.int16).numpy().view(np.uint16)
        return tensor_io.as_coded(codes.copy(), _BFLOAT16)
    if plain.dtype.is_floating_point and plain.dtype.itemsize == 1:  # fp8, which numpy lacks
        plain = plain.float()
    array: np.ndarray = plain.numpy().copy()
    return array


def onnx_type_of(tensor: Any) -> int:
    """TensorProto.DataType of a tensor; raises Unsupported for types that ONNX lacks."""
    from perf.measure import tensor_io

    name = str(tensor.dtype).removeprefix("torch.")
    if name == "bfloat16":
        return _BFLOAT16
    if name not in tensor_io.ONNX_OF:
        raise Unsupported(f"ONNX, and so a prepared input, has no tensors of {name}")
    return tensor_io.ONNX_OF[name]


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The tensors in a value, named by where they are; what is no tensor is a constant of the call."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{i}]")


def _filled(value: Any, tensors: Iterator[Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, Mapping):
        return {key: _filled(inner, tensors) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        inside = [_filled(inner, tensors) for inner in value]
        return tuple(inside) if isinstance(value, tuple) else inside
    return value
