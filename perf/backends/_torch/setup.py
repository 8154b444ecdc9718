"""How a cell wants PyTorch: device, arithmetic, threads, and where compilers keep what they make."""

import contextlib
import functools
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.backends import DeviceMemoryExhausted, ProbeResult, Unsupported
from perf.machine.gpus import device_ordinal
from perf.measure.timing import usable_cpus
from perf.schema.cell import Cell, Precision

COMMON_OPTIONS = frozenset(("device", "memory_format", "cudnn_benchmark"))
_WEIGHTS = {Precision.FP16: "float16", Precision.BF16: "bfloat16"}
_AUTOCAST = {Precision.FP32_FP16: "float16", Precision.FP32_BF16: "bfloat16"}
_HOST_MEMORY = "DefaultCPUAllocator"


@dataclass(frozen=True)
class TorchSetup:
    """Where a module runs, and in what: its weights and inputs in a type, or operators as autocast casts."""

    device: Any
    weights: Any  # torch.dtype; None: as they are
    autocast: Any  # torch.dtype; None: off
    channels_last: bool

    @property
    def on_gpu(self) -> bool:
        """Whether work is queued, and has to be waited for."""
        return str(self.device.type) == "cuda"

    @property
    def leaves_alone(self) -> bool:
        """Whether inputs and results stay where and as they are: fp32 on the CPU."""
        kept = self.weights is None and self.autocast is None and not self.channels_last
        return kept and not self.on_gpu

    def casting(self) -> contextlib.AbstractContextManager[Any]:
        """The arithmetic of one run, entered anew for each as a program does that serves requests."""
        import torch

        if self.autocast is None:
            return contextlib.nullcontext()
        entered: contextlib.AbstractContextManager[Any] = torch.autocast(
            self.device.type, dtype=self.autocast
        )
        return entered

    def place(self, module: Any) -> Any:
        """The module on its device, in its type; raises Unsupported for a program of fixed types."""
        import torch

        if not isinstance(module, torch.nn.Module):
            return module  # a function: it has no weights to move
        module = module.to(self.device)
        if self.weights is not None:
            module = module.to(self.weights)
        return module.to(memory_format=torch.channels_last) if self.channels_last else module

    def move(self, tensor: Any) -> Any:
        """An input on the device, floats in the weights' type."""
        import torch

        dtype = self.weights if tensor.is_floating_point() else None
        moved = tensor.to(device=self.device, dtype=dtype or tensor.dtype)
        if self.channels_last and moved.dim() == 4:
            moved = moved.contiguous(memory_format=torch.channels_last)
        return moved

    def waiting(self) -> Callable[[], None] | None:
        """What waits until the device is done; None where nothing is queued."""
        import torch

        if not self.on_gpu:
            return None
        wait: Callable[[], None] = functools.partial(torch.cuda.synchronize, self.device)
        return wait

    def synchronise(self) -> None:
        """Wait until the device is done."""
        if wait := self.waiting():
            wait()


def set_up(cell: Cell, known_options: Collection[str] = ()) -> TorchSetup:
    """Set this process's PyTorch as a cell asks; raises Unsupported for what it cannot do here."""
    import torch

    known = COMMON_OPTIONS | set(known_options)
    if unknown := sorted(set(cell.options) - known):
        raise Unsupported(f"no option {unknown[0]!r}; known are {', '.join(sorted(known))}")
    precision = cell.target.precision
    device = _device(cell)
    if precision is Precision.TF32 and device.type != "cuda":
        raise Unsupported("TF32 is a mode of NVIDIA's GPUs from Ampere on: no GPU is used here")
    _set_threads(cell)
    _set_arithmetic(cell)
    weights, autocast = _WEIGHTS.get(precision), _AUTOCAST.get(precision)
    layout = cell.options.get("memory_format", "contiguous")
    if layout not in ("contiguous", "channels_last"):
        raise Unsupported(f"memory_format {layout!r}: use contiguous or channels_last")
    return TorchSetup(
        device,
        getattr(torch, weights) if weights else None,
        getattr(torch, autocast) if autocast else None,
        layout == "channels_last",
    )


def _device(cell: Cell) -> Any:
    import torch

    wanted = cell.options.get("device", "cuda" if cell.gpu else "cpu")
    if wanted not in ("cpu", "cuda"):
        raise Unsupported(f"device {wanted!r}: use cpu or cuda; --devices says which GPU")
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        build = torch.version.cuda or "no CUDA"
        raise Unsupported(f"PyTorch {torch.__version__} (built with {build}) sees no GPU here")
    ordinal = device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
    torch.cuda.set_device(ordinal)
    return torch.device("cuda", ordinal)


def _set_threads(cell: Cell) -> None:
    """Threads as asked for; else one a core that may be used, counted now: the fork server's may be more.

    A container's quota is less than the cores that it shows, and more threads than that stop each other.
    """
    import torch

    protocol = cell.protocol
    torch.set_num_threads(protocol.intra_op_threads or max(1, int(usable_cpus())))
    if protocol.inter_op_threads:
        with contextlib.suppress(
            RuntimeError
        ):  # they can be set once a process: in_process runs cells in one
            torch.set_num_interop_threads(protocol.inter_op_threads)


def _set_arithmetic(cell: Cell) -> None:
    """Strict fp32 unless TF32 is asked for: cuDNN would use it by default."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = cell.tf32
    torch.backends.cudnn.allow_tf32 = cell.tf32
    torch.backends.cudnn.benchmark = cell.options.get("cudnn_benchmark", "0") in ("1", "true")


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Tell memory that ran out, of the device or the host, from other errors of PyTorch."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as e:
        raise DeviceMemoryExhausted(str(e)) from e
    except RuntimeError as e:
        if _HOST_MEMORY in str(e):
            raise MemoryError(str(e)) from e
        raise


@contextlib.contextmanager
def compiler_caches(folder: Path) -> Iterator[None]:
    """What compilers make lies below a cell's cache, and nothing is compiled beside the process itself."""
    settings = {
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        "CUDA_CACHE_PATH": str(folder / "cuda"),
        "TMPDIR": str(folder / "unpacked"),  # of packages while they are loaded
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    (folder / "unpacked").mkdir(parents=True, exist_ok=True)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    tempfile.tempdir = None  # it may have been asked for before
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def keep_headers_out() -> None:
    """Have Inductor compile no headers beforehand: it keeps those in the system's folder for all users."""
    from torch._inductor import config

    if hasattr(config, "cpp_cache_precompile_headers"):
        config.cpp_cache_precompile_headers = False


def require_compiler() -> None:
    """Raise Unsupported, with the fix, where Inductor could not compile what it writes."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None and shutil.which("clang++") is None:
        raise Unsupported(
            f"PyTorch's compiler needs a C++ compiler, and {compiler} is not there: apt-get install g++, "
            "or name one in CXX"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        version = sysconfig.get_python_version()
        raise Unsupported(
            f"PyTorch's compiler needs {header}, which is not there: apt-get install python{version}-dev"
        )


def missing(found: ProbeResult) -> str:
    """Why PyTorch cannot run in an environment, and what fixes it; "" where it can."""
    return (
        ""
        if "torch" in found.versions
        else "no torch there: its environment has it (env build torch)"
    )


def is_on_gpu(cell: Cell) -> bool:
    """Whether a cell's module runs on a GPU."""
    return bool(cell.gpu) and cell.options.get("device") != "cpu"


def takes_gpu(found: ProbeResult) -> bool:
    """Whether the PyTorch there is built for a GPU, and the machine has one."""
    return bool(found.gpus) and not found.versions.get("torch", "+cpu").endswith("+cpu")
