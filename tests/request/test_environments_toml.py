"""environments.toml as people write it, and one line for each way of writing it wrong."""

from pathlib import Path

import pytest

from perf.request import environments
from perf.request.environments import EnvironmentsError, EnvironmentSpec

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, text: str) -> tuple[EnvironmentSpec, ...]:
    path = tmp_path / "environments.toml"
    path.write_text(text, encoding="utf-8")
    return environments.load_environments(path)


def test_every_key_is_read(tmp_path: Path) -> None:
    specs = load(
        tmp_path,
        """
        [current]
        python = "current"
        [ov]
        requirements = ["onnxruntime-openvino==1.24.1", "numpy==2.4.6"]
        targets = ["OpenVINOExecutionProvider"]
        env = { LD_LIBRARY_PATH = "/lib", THREADS = 2 }
        options.OpenVINOExecutionProvider = { device_type = "CPU", num_of_threads = 1 }
        size_mib = 420
        needs_gpu = true
        default = false
        """,
    )
    assert [s.name for s in specs] == ["current", "ov"]
    assert specs[1] == EnvironmentSpec(
        "ov",
        requirements=("onnxruntime-openvino==1.24.1", "numpy==2.4.6"),
        targets=("OpenVINOExecutionProvider",),
        variables={"LD_LIBRARY_PATH": "/lib", "THREADS": "2"},
        options={"OpenVINOExecutionProvider": {"device_type": "CPU", "num_of_threads": "1"}},
        size_mib=420,
        needs_gpu=True,
        default=False,
        folder=str(tmp_path),
    )


@pytest.mark.parametrize("name", ["environments.toml", "tests/environments.toml"])
def test_the_files_of_this_repository_are_right(name: str) -> None:
    specs = environments.load_environments(ROOT / name)
    assert specs
    assert all(s.size_mib for s in specs if s.requirements)


def test_an_interpreter_given_by_flag_serves_what_its_probe_finds() -> None:
    old = EnvironmentSpec("old", "current")
    assert environments.override_environments([old], {"n": "/bin/sh"}, {}) == (
        old,
        EnvironmentSpec("n", "/bin/sh"),
    )


def test_an_interpreter_given_under_a_name_of_the_file_takes_its_place(tmp_path: Path) -> None:
    specs = load(
        tmp_path,
        """
        [a]
        requirements = ["onnxruntime-gpu==1.31.1"]
        targets = ["CUDAExecutionProvider"]
        env = { LD_LIBRARY_PATH = "/lib" }
        size_mib = 2150
        needs_gpu = true
        default = false
        options.CUDAExecutionProvider = { prefer_nhwc = "1" }
        [b]
        python = "current"
        """,
    )
    a, b = environments.override_environments(specs, {"a": "/bin/sh"}, {})
    assert (a.python, a.requirements, a.needs_gpu) == ("/bin/sh", (), False)
    assert environments.interpreter_of(a) == "/bin/sh"
    assert (a.targets, a.variables) == (("CUDAExecutionProvider",), {"LD_LIBRARY_PATH": "/lib"})
    assert (a.options, a.default) == (specs[0].options, False)
    assert b == specs[1]


def test_a_local_file_is_laid_over_the_built_in_one_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor's short file adds to what is there; `drop` does without."""
    monkeypatch.chdir(tmp_path)
    built_in = [s.name for s in environments.load_environments(ROOT / "environments.toml")]
    assert [s.name for s in environments.read_environments()] == built_in
    path = tmp_path / "environments.toml"
    path.write_text('[mine]\npython = "p"\n[cuda]\npython = "q"\n', encoding="utf-8")
    laid = {s.name: s for s in environments.read_environments()}
    assert list(laid) == ["mine", "cuda", *(n for n in built_in if n != "cuda")]
    assert (laid["cuda"].python, laid["cuda"].targets) == ("q", ())
    path.write_text('drop = ["cuda", "*rtx"]\n[mine]\npython = "p"\n', encoding="utf-8")
    kept = [n for n in built_in if n != "cuda" and not n.endswith("rtx")]
    assert [s.name for s in environments.read_environments()] == ["mine", *kept]
    path.write_text('drop = ["*"]\n[mine]\npython = "p"\n', encoding="utf-8")
    assert [s.name for s in environments.read_environments()] == ["mine"]


def test_paths_are_meant_from_the_files_own_folder(tmp_path: Path) -> None:
    (spec,) = load(
        tmp_path,
        """
        [mine]
        python = "venv/bin/python"
        backend = "backends/mine.py"
        """,
    )
    assert spec.python == str(tmp_path / "venv" / "bin" / "python")
    assert spec.backend == str(tmp_path / "backends" / "mine.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "environments.toml: Expected"),
        ("drop = 'cuda'", "drop must be a list of strings"),
        ("a = 1", r"\[a\] is not a table"),
        ("[a]", r"\[a\]: give either python or requirements"),
        ('[a]\npython="p"\nrequirements=["x==1"]', "give either python or requirements"),
        ('[a]\nrequirements=["numpy>=2"]', "'numpy>=2' is not pinned; write name==version"),
        ('[a]\npython="p"\npyton="q"', "unknown key 'pyton'; known are python"),
        ('[a]\npython="p"\nplugin={target="T"}', "a plugin needs target, library and ep_name"),
        ("[a]\npython=3", r"\[a\]: python must be a string"),
        ('[a]\nrequirements="numpy==2"', r"\[a\]: requirements must be a list of strings"),
        ('[a]\npython="p"\ntargets="cpu"', r"\[a\]: targets must be a list of strings"),
        ('[a]\npython="p"\nenv="X=1"', r"\[a\]: env must be a table"),
        ('[a]\npython="p"\noptions={T=1}', r"\[a\]: options\.T must be a table"),
        ('[a]\npython="p"\nsize_mib="big"', r"\[a\]: size_mib must be a whole number"),
        ('[a]\npython="p"\ndefault="no"', r"\[a\]: default must be true or false"),
        ('["a/../../b"]\npython="p"', "use letters, digits"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(EnvironmentsError, match=says) as e:
        load(tmp_path, text)
    assert "\n" not in str(e.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentsError, match="no such file; it names the environments"):
        environments.load_environments(tmp_path / "none.toml")
    with pytest.raises(EnvironmentsError):
        environments.load_environments(tmp_path)
    (tmp_path / "latin").write_bytes(b"[\xe4]")
    with pytest.raises(EnvironmentsError, match="utf-8"):
        environments.load_environments(tmp_path / "latin")
