"""The shape of the tree: what may be imported where, how long a file may be, what none may be called."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("ep_perf", "perf", "setup_models", "comparison", "docker")
SOURCES = sorted(
    [p for room in ROOMS for p in (ROOT / room).rglob("*.py")]
    + [ROOT / "benchmark.py", ROOT / "benchmark_wrapper.py", ROOT / "setup.py"]
)
ENGINES = ("numpy", "onnx", "onnxruntime", "torch", "tensorrt", "openvino", "rich", "pynvml")
CLEAN = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import perf.cli.benchmark_wrapper
from perf import backends
import perf.report.terminal
assert len(backends.discover_backends()) >= 5
for package in ("perf.schema", "perf.stats", "perf.request", "perf.machine", "perf.results", "perf.planning",
                "perf.report", "perf.execution", "perf.wrapper"):
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(package + "." + module.name)
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_wrapper_and_all_backends_load_no_engine_and_nothing_from_outside() -> None:
    """In the plainest interpreter: no packages, no user's site, as on a machine just set up."""
    done = subprocess.run(
        [sys._base_executable, "-S", "-I", "-c", CLEAN, str(ROOT)],  # type: ignore[attr-defined]
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(ENGINES)
    assert loaded <= {
        *sys.stdlib_module_names,
        "perf",
        "setup_models",  # of it the offline models' recipes by name
        "comparison",  # with the run of --against, and known failures
        "__main__",
        "_distutils_hack",
        "sitecustomize",
    }


def test_with_all_packages_there_the_wrapper_still_loads_none_of_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, str(ROOT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()).isdisjoint(ENGINES)


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_a_file_has_one_purpose_and_fits_a_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "config", "misc")
    told = ast.get_docstring(ast.parse(text))
    assert told, "no sentence that says what this module is"


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_nothing_runs_text_as_code_or_unpickles_it(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" | "__import__" as name)):
                assert name == "__import__", f"{name} on line {node.lineno}"
                assert path.name == "probe.py"
            case ast.Import(names=imported):
                assert not {"pickle", "shelve", "marshal"} & {a.name for a in imported}
            case ast.ImportFrom(module=module):
                assert module not in ("pickle", "shelve", "marshal")
            case ast.keyword(arg="shell", value=ast.Constant(value=value)):
                assert not value
            case ast.ExceptHandler(type=None):
                raise AssertionError(f"a bare except on line {node.lineno}")
            case _:
                pass


def test_nobody_outside_the_backends_asks_a_backends_name() -> None:
    """Adding an EP touches one file. Tables keep the predecessor's column names, which are its own."""
    spelled = {"CUDAExecutionProvider", "OpenVINOExecutionProvider", "AzureExecutionProvider"}
    asking = []
    for path in SOURCES:
        room = names(path)
        if room.startswith(("perf/wrapper/", "perf/planning/", "perf/worker/")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            asking += [
                f"{room}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and node.value in spelled
            ]
    assert asking == []


# --- the page on architecture, held to the tree

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CODE = [p for p in SOURCES if p.parent != ROOT and p.parts[len(ROOT.parts)] != "docker"]


def room_of(path: Path) -> str:
    """The folder of one subject that a file is in: perf/x, or a folder of setup_models, or comparison."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "perf" or (parts[0] == "setup_models" and len(parts) > 2):
        return "/".join(parts[:2])
    return parts[0]


ROOMS_IN_TREE = {room_of(p) for p in CODE} - {"perf/__init__.py"}


def test_the_page_names_each_room_and_no_other() -> None:
    table = PAGE.split("## Rooms")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([\w/]+)` \|", table, re.M)) == ROOMS_IN_TREE


def test_the_layers_contract_names_each_room_and_makes_no_exception() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    layers = next(c for c in rules["contracts"] if c["type"] == "layers")
    named = {room.strip().replace(".", "/") for row in layers["layers"] for room in row.split("|")}
    assert named == {r for r in ROOMS_IN_TREE if not r.startswith("setup_models/")}
    assert not any("ignore_imports" in c for c in rules["contracts"])


def test_the_page_lists_rooms_in_the_order_of_the_layers() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    layers = next(c for c in rules["contracts"] if c["type"] == "layers")["layers"]
    floor = {
        room.strip().replace(".", "/"): i
        for i, row in enumerate(layers)
        for room in row.split("|")
    }
    table = PAGE.split("## Rooms")[1].split("## ")[0]
    rooms = re.findall(r"^\| `([\w/]+)` \|", table, re.M)
    floors = [floor[r] for r in rooms if r in floor]
    assert floors == sorted(floors)


def test_what_the_page_points_to_is_there() -> None:
    for named in re.findall(r"`((?:perf|comparison|setup_models|tests)/[\w/]+(?:\.py)?)`", PAGE):
        assert (ROOT / named).exists(), named


def test_no_room_holds_more_than_its_share() -> None:
    """perf/backends is as wide as there are engines: what one of them shares counts as a room of its own."""
    sizes: dict[str, int] = {}
    for path in CODE:
        parts = path.relative_to(ROOT).parts
        of_engine = parts[:2] == ("perf", "backends") and len(parts) > 3
        room = "/".join(parts[:3]) if of_engine else room_of(path)
        sizes[room] = sizes.get(room, 0) + len(path.read_text(encoding="utf-8").splitlines())
    most = max(sizes, key=lambda r: sizes[r])
    assert sizes[most] <= 0.15 * sum(sizes.values()), most


def test_one_module_knows_where_our_code_lies() -> None:
    """So that no link behind a second one leads workers to packages that are not theirs."""
    knowing = {names(p) for p in SOURCES if "__file__)" in p.read_text(encoding="utf-8")}
    assert {n for n in knowing if n.startswith("perf/")} == {"perf/request/locations.py"}
    assert "resolve()" not in (ROOT / "perf/request/locations.py").read_text(encoding="utf-8")
