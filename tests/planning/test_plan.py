"""Models times targets times variants: which cells, in which order, with which identity."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perf import backends
from perf.backends import ProbeResult
from perf.machine.gpus import Gpu
from perf.planning import plan as planning
from perf.planning import targets
from perf.planning.choose_models import choose_models
from perf.planning.targets import Planned, ProbedEnvironment
from perf.request.environments import EnvironmentSpec
from perf.request.options import BadRequestError, parse
from perf.schema import codec
from perf.schema.cell import Cell, Environment, Io, Tolerance
from tests import models

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"


def place(name: str, *providers: str, **more: Any) -> ProbedEnvironment:
    spec = replace(EnvironmentSpec(name, f"/{name}"), **more)
    versions = {"onnxruntime": f"1.{len(name)}"}
    environment = Environment(name, f"/{name}", {}, versions)
    return ProbedEnvironment(
        spec, environment, ProbeResult(providers=providers, versions=versions)
    )


PLACES = (place("current", CPU), place("ov", CPU, OPENVINO, targets=(OPENVINO,)))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "models"
    models.relu(folder / "relu")
    models.linear(folder / "linear")
    models.lookup(folder / "lookup")
    return folder


def planned(
    found: Path,
    *words: str,
    places: tuple[ProbedEnvironment, ...] = PLACES,
    gpus: tuple[Gpu, ...] = (),
) -> tuple[Planned, ...]:
    options = parse(("-m", str(found), *words))
    offered = targets.make_offers(places, backends.discover_backends(), {})
    chosen = targets.choose_targets(offered, options.ep_list or ("cpu", "ov"), fp16=options.fp16)
    return planning.plan_cells(choose_models(options).models, chosen, options, gpus=gpus)


def ids(found: Path, *words: str) -> list[str]:
    return [p.cell.id for p in planned(found, *words)]


def only(found: Path, *words: str) -> Cell:
    (one,) = planned(found, "--models", "relu", "-e", "cpu", *words)
    return one.cell


def test_models_are_outermost_and_targets_in_the_order_given(found: Path) -> None:
    assert ids(found, "--models", "l*", "-e", "ov", "cpu") == [
        f"linear::{OPENVINO}",
        f"linear::{CPU}",
        f"lookup::{OPENVINO}",
        f"lookup::{CPU}",
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 6),
        (["--models", "relu"], 2),
        (["--models", "relu linear"], 4),
        (["--models", "re*", "lo?kup"], 4),
        (["-k", "openvino"], 3),
        (["-k", "relu and not openvino"], 1),
        (["-b", "both"], 12),
        (["-b", "both", "-k", "io=device"], 6),
        (["--ep_options", "cpu[a]:x=1", "--ep_options", "cpu[b]:x=2"], 12),
        (["--ep_options", "cpu:x=1"], 6),
        (["-b", "both", "--ep_options", "cpu[a]:x=1"], 18),
    ],
)
def test_what_is_asked_for_is_planned(found: Path, words: list[str], count: int) -> None:
    got = ids(found, *words)
    assert len(got) == len(set(got)) == count
    folders = [p.cell.folder for p in planned(found, *words)]
    assert len(set(folders)) == count


def test_two_variants_of_one_name_are_refused(found: Path) -> None:
    with pytest.raises(
        BadRequestError, match=r"two cells are named linear::CPU.*\[a\]: give each"
    ):
        planned(found, "--ep_options", "cpu[a]:x=1", "--ep_options", "CPUExecutionProvider[a]:x=2")


def test_options_meant_for_no_target_are_refused(found: Path) -> None:
    with pytest.raises(BadRequestError, match="--ep_options cuda: no target of this run is meant"):
        planned(found, "--ep_options", "cuda:x=1")


@pytest.mark.parametrize(
    ("words", "variant"),
    [
        ([], ""),
        (["-b"], "io=device"),
        (["--ep_options", "cpu:x=1,y=2"], "x=1,y=2"),
        (["--session_config", "a.b=1"], "a.b=1"),
        (["-i", "random", "--shape", "x=4x8"], "x=4x8"),
        (["-b", "--ep_options", "cpu:x=1", "--session_config", "a=1"], "io=device,x=1,a=1"),
    ],
)
def test_a_variant_is_named_by_what_makes_it(found: Path, words: list[str], variant: str) -> None:
    cell = only(found, *words)
    assert cell.variant == variant
    assert cell.id == f"relu::{CPU}" + (f"[{variant}]" if variant else "")


CHANGES = [
    ["-t", "9"], ["--launches", "2"], ["--warmup", "9"], ["--seed", "4"], ["-b"], ["-g", "basic"],
    ["--tf32"], ["--rtol", "0.5"], ["--no_check"], ["-r", "validate"], ["-i", "zoo"], ["--isolation", "spawn"],
    ["--intra_op_threads", "2"], ["--cpu_affinity", "0"], ["--session_config", "a=1"],
    ["--ep_options", "cpu:a=1"], ["--min_ep_share", "0.5"], ["--shape", "x=2x8"],
]  # fmt: skip


def test_each_of_these_flags_makes_another_question(found: Path) -> None:
    digests = {only(found, *words).digest for words in ([], *CHANGES)}
    assert len(digests) == len(CHANGES) + 1


@pytest.mark.parametrize(
    "words",
    [
        ["--jobs", "1"],
        ["--label", "x"],
        ["--strict"],
        ["--timeout", "5"],
        ["-v"],
        ["--run_id", "x"],
    ],
)
def test_these_do_not(found: Path, words: list[str]) -> None:
    assert only(found, *words).digest == only(found).digest


def test_an_environments_versions_are_part_of_the_question(found: Path) -> None:
    digests = {
        planned(found, "-e", "cpu", places=(replace(PLACES[0], environment=e),))[0].cell.digest
        for e in (
            Environment("current", "/p", {}, {"onnxruntime": "1"}),
            Environment("current", "/p", {}, {"onnxruntime": "2"}),
            Environment("current", "/p", {"OMP_NUM_THREADS": "1"}, {"onnxruntime": "1"}),
        )
    }
    assert len(digests) == 3
    moved = replace(PLACES[0], environment=replace(PLACES[0].environment, python="/elsewhere"))
    same = planned(found, "-e", "cpu", places=(moved,))[0].cell.digest
    assert same == planned(found, "-e", "cpu")[0].cell.digest


def test_random_inputs_are_known_by_their_seed_and_stored_ones_by_their_bytes(found: Path) -> None:
    def digest(*words: str) -> str:
        return only(found, *words).inputs_digest

    assert digest("-i", "random", "--seed", "1") != digest("-i", "random", "--seed", "2")
    assert digest("-i", "zoo", "--seed", "1") == digest("-i", "zoo", "--seed", "2")
    assert digest("-i", "random") != digest("-i", "random", "--shape", "x=2x8")


def test_flags_go_before_the_model_lists_tolerances_and_those_before_the_default(
    found: Path, tmp_path: Path
) -> None:
    entry = {"model_name": "relu", "working_directory": str(found / "relu"), "model_path": "model.onnx",
             "test_data_path": ".", "tolerances": {"fp32": {"rtol": 0.25, "atol": 0.5}}}  # fmt: skip
    path = tmp_path / "list.json"
    path.write_text(json.dumps([entry]))
    assert only(path).tolerance == Tolerance(0.25, 0.5)
    given = only(path, "--rtol", "0.75").tolerance
    assert (given.rtol, given.atol) == (0.75, 0.5)
    assert only(found).tolerance.atol_scaled


def test_options_of_the_environment_stand_below_those_of_the_command_line(found: Path) -> None:
    places = (
        replace(PLACES[0], spec=replace(PLACES[0].spec, options={CPU: {"a": "1", "b": "1"}})),
    )
    (one, *_) = planned(found, "-e", "cpu", "--ep_options", "cpu:b=2", places=places)
    assert one.cell.options == {"a": "1", "b": "2"}


def test_what_cannot_run_is_planned_with_its_reason_and_forced_on_request(found: Path) -> None:
    (skipped, *_) = planned(found, "-e", "cuda")
    assert skipped.skip == "no device: NVML sees no NVIDIA GPU here"
    (forced, *_) = planned(found, "-e", "cuda", "--force")
    assert forced.skip == ""


def test_a_cell_can_be_written_and_holds_no_path_that_is_not_absolute(found: Path) -> None:
    cell = only(found, "-b", "-w", ".")
    assert codec.decode(Cell, json.loads(json.dumps(codec.encode(cell)))) == cell
    assert Path(cell.model.path).is_absolute()
    assert Path(cell.workspace).is_absolute()
    assert cell.io is Io.DEVICE


def test_nothing_to_run_says_what_there_was(found: Path) -> None:
    with pytest.raises(BadRequestError, match="no cell of 3 models and 2 targets matches"):
        planned(found, "-k", "vgg")
    with pytest.raises(
        BadRequestError, match="--models 'vgg' matches none of: linear, lookup, relu"
    ):
        planned(found, "--models", "vgg")


TENSORRT = (
    place("current", CPU, "TensorrtExecutionProvider", "CUDAExecutionProvider"),
)  # an ORT build with all three
TWO = tuple(Gpu(i, f"GPU-{i}a", "NVIDIA L4", 24_000.0, "580", "13.0", 72.0) for i in (0, 1))


def test_repeated_builds_are_cells_of_their_own_of_targets_that_build(found: Path) -> None:
    cells = [
        p.cell
        for p in planned(
            found, "--models", "relu", "-e", "cpu", "trt", "--builds", "3", places=TENSORRT
        )
    ]
    trt = "relu::TensorrtExecutionProvider"
    assert [c.id for c in cells] == [f"relu::{CPU}", *(f"{trt}[build={i}]" for i in (1, 2, 3))]
    assert [c.options.get("build") for c in cells] == [None, "1", "2", "3"]
    assert len({c.digest for c in cells}) == 4
    assert all(c.digest for c in cells)


def test_a_device_that_loads_no_engine_of_an_rtx_target_is_declined_before_it_is_tried(
    found: Path,
) -> None:
    rtx = place("rtx", targets=("TensorRT_RTX",))
    seen = replace(rtx.found, versions={"tensorrt-rtx-cu13-libs": "1.7"}, gpus=("NVIDIA H200",))
    places = (PLACES[0], replace(rtx, found=seen))
    for capability, why in (("9.0", "compute capability 9.0"), ("12.0", ""), ("", "")):
        board = replace(TWO[0], compute_capability=capability)
        words = ("-e", "rtx", "--models", "relu")
        (cell,) = planned(found, *words, places=places, gpus=(board,))
        assert why in cell.skip
        assert bool(cell.skip) == bool(why)


def test_models_take_turns_with_the_devices_and_a_models_cells_share_one(found: Path) -> None:
    words = ("-e", "cpu", "trt", "cuda", "--devices", "1,0")
    at = {p.cell.id: p.cell for p in planned(found, *words, places=TENSORRT, gpus=TWO)}
    for model, device in (("linear", 1), ("lookup", 0), ("relu", 1)):
        for name in ("TensorrtExecutionProvider", "CUDAExecutionProvider"):
            cell = at[f"{model}::{name}"]
            assert (cell.device, cell.gpu) == (device, TWO[device].uuid)
            assert cell.gpu_name == "NVIDIA L4"
        assert at[f"{model}::{CPU}"].gpu == ""
    first = planned(found, "-e", "trt", places=TENSORRT, gpus=TWO)
    assert {p.cell.gpu for p in first} == {"GPU-0a"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--devices", "2"), "--devices 2: no one device is '2'; visible: 0=NVIDIA L4"),
        (("--devices", "0,0"), "0 is named twice"),
        (
            ("--devices", "0,1", "--canary"),
            "--canary watches one device, and --devices 0,1 names 2",
        ),
        (("--trt_profile", "x=1x3:2x3"), "expected name=MIN:OPT:MAX"),
    ],
)
def test_devices_and_profiles_that_cannot_be(
    found: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadRequestError, match=re.escape(says)):
        planned(found, "-e", "cpu", *words, gpus=TWO)


def test_optimisation_profiles_reach_every_target_that_takes_them_and_no_other(
    found: Path,
) -> None:
    place_ = replace(TENSORRT[0], found=replace(TENSORRT[0].found, trtexec="/opt/trtexec"))
    words = ("--models", "linear", "--trt_profile", "x=1x8:2x8:4x8", "-e")
    cells = planned(found, *words, "cpu", "cuda", "trt", "trtexec", "rtx", places=(place_,))
    told = {p.cell.target.label: p.cell.options.get("trt_profile_max_shapes") for p in cells}
    assert told == {
        CPU: None,
        "CUDAExecutionProvider": None,
        "TensorrtExecutionProvider": "x:4x8",
        "Standalone_TRT": "x:4x8",
        "TensorRT_RTX": "x:4x8",
    }


def test_a_relative_trtexec_is_made_absolute_for_a_worker_elsewhere() -> None:
    from perf.planning import plan as planning

    assert planning._absolute_program("bin/trtexec") == str(Path("bin/trtexec").absolute())
    assert planning._absolute_program("trtexec") == "trtexec"
    assert planning._absolute_program("") == ""


def test_packages_that_no_worker_loads_are_no_part_of_a_cells_identity() -> None:
    from perf.planning import plan as planning
    from perf.schema.cell import Environment

    bare = Environment("e", "python", {}, {"numpy": "2", "onnxruntime": "1.31.1"})
    more = {
        **bare.versions,
        "onnxconverter-common": "1.16.0",
        "nvidia-ml-py": "13",
        "onnx": "1.23.2",
    }
    assert planning._identifying_versions(Environment("e", "python", {}, more)) == bare
