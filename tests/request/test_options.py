"""The command line as users type it: spellings, switches, awkward values, one-line refusals."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from perf.request import options
from perf.request.flag_types import EpOptions, Flag, Timeouts
from perf.request.flags import FLAGS
from perf.request.options import BadRequestError, Options, parse
from perf.schema import codec

VALUES = {
    "running_mode": "both", "input_data": "zoo", "graph_enablement": "basic", "isolation": "spawn",
    "trt_ep_options": "a=1", "cuda_ep_options": "a=1", "session_config": "a=1", "shape": "x=1x2", "batch_sizes": "1,4",
    "ep_options": "cpu:a=1", "env": "n=python", "trt_profile": "x=1:2:3", "timeout": "5",
    "io_binding": "on", "cpu_affinity": "0", "devices": "0", "min_ep_share": "0.5", "cuda_graph": "both",
    "test_times": "7", "percent_mismatch": "1", "rtol": "0.5", "atol": "1", "jobs": "2",
    "launches": "2", "warmup": "2", "min_time": "2", "max_time": "90", "seed": "2",
    "intra_op_threads": "2", "inter_op_threads": "2", "memory_limit": "2", "builds": "2",
    "retry_throttled": "2", "max_minutes": "2", "ab": "cpu ov", "plugin": "n=lib.so",
    "fail_on": "Crashed", "color": "never", "export": "junit",
    "shard": "2/3", "map_path": "/a=/b", "host_canary": "9", "lanes": "always",
}  # fmt: skip


def test_defaults_are_seed_004s_and_the_issues() -> None:
    o = parse([])
    assert (o.running_mode, o.model_source, o.input_data) == (
        "benchmark",
        ("model_list.json",),
        "random",
    )
    assert (o.test_times, o.workspace, o.perf_result_path, o.fp16) == (None, "./", "result", True)
    assert (o.launches, o.min_time, o.timeout) == (5, 1.0, Timeouts(1800.0))
    assert (o.io_binding, o.track_memory, o.check, o.isolation) == ("off", True, True, "host")


def test_short_flags_and_long_flags_are_one() -> None:
    given = "-r both -m a.json -i fix -t 3 -w d -o r -e cpu ov -b -g basic -k relu"
    short = parse(given.split())
    spelled = (
        "--running_mode both --model_source a.json --input_data zoo --test_times 3 --workspace d "
        "--perf_result_path r --ep_list cpu ov --io_binding --graph_enablement basic "
        "--select relu"
    )
    long = parse(spelled.split())
    assert short == long
    assert short.ep_list == ("cpu", "ov")
    assert (short.io_binding, short.input_data) == ("on", "zoo")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda f: f.name)
def test_every_flag_is_there_with_underscores_and_with_hyphens(flag: Flag) -> None:
    values = [] if flag.switch or flag.counted else VALUES.get(flag.name, "word").split()
    more = ["--isolation", "spawn"] if flag.name == "exec_prefix" else []
    under = parse([f"--{flag.name}", *values, *more])
    hyphens = parse([f"--{flag.name.replace('_', '-')}", *values, *more])
    assert under == hyphens
    if not (flag.switch and flag.default):  # what is on already stays on
        assert getattr(under, flag.name) != getattr(parse([]), flag.name)


def test_every_switch_has_its_no_form() -> None:
    for flag in (f for f in FLAGS if f.switch):
        assert getattr(parse([f"--no_{flag.name}"]), flag.name) is False
        assert getattr(parse([f"--no-{flag.name.replace('_', '-')}"]), flag.name) is False
        assert getattr(parse([f"--no_{flag.name}", f"--{flag.name}"]), flag.name) is True


def test_the_table_of_flags_and_the_options_hold_the_same_names() -> None:
    assert {f.name for f in fields(Options)} == {f.name for f in FLAGS}


@pytest.mark.parametrize(
    "words",
    [
        ["-e", "CPUExecutionProvider", "OpenVINOExecutionProvider"],
        ["-e", "CPUExecutionProvider OpenVINOExecutionProvider"],
        ["--ep_list=CPUExecutionProvider OpenVINOExecutionProvider"],
        ["--ep-list", "CPUExecutionProvider  OpenVINOExecutionProvider "],
        ["-e", "CPUExecutionProvider", "-e", "OpenVINOExecutionProvider"],
    ],
)
def test_a_list_of_eps_is_words_or_one_quoted_string(words: list[str]) -> None:
    assert parse(words).ep_list == ("CPUExecutionProvider", "OpenVINOExecutionProvider")


def test_values_hold_commas_and_colons_so_that_profiles_can_be_expressed() -> None:
    text = (
        "trt_profile_min_shapes=ids:1x1,mask:1x1,trt_profile_max_shapes=ids:8x128,mask:8x128,"
        "trt_engine_cache_path=/a:b"
    )
    assert parse(["--trt_ep_options", text]).trt_ep_options == {
        "trt_profile_min_shapes": "ids:1x1,mask:1x1",
        "trt_profile_max_shapes": "ids:8x128,mask:8x128",
        "trt_engine_cache_path": "/a:b",
    }
    many = parse(["--ep_options", f"TensorrtExecutionProvider_fp16[prof]:{text}"]).ep_options
    assert many == (
        EpOptions(
            "TensorrtExecutionProvider_fp16", "prof", parse(["--trt_ep_options", text]).trt_ep_options
        ),
    )  # fmt: skip


def test_options_of_one_target_and_named_variants_add_up() -> None:
    o = parse(
        ["--ep_options", "cuda:fp16:a=1,b=2", "--ep_options", "cpu[one]:x=y", "--ep-options=cpu@env[two]:x=z"]
    )  # fmt: skip
    assert o.ep_options == (
        EpOptions("cuda:fp16", "", {"a": "1", "b": "2"}),
        EpOptions("cpu", "one", {"x": "y"}),
        EpOptions("cpu@env", "two", {"x": "z"}),
    )


def test_shapes_name_their_input_even_with_an_equals_sign_and_scalars_too() -> None:
    o = parse(["--shape", "x=8x3x224x224", "a=b=2", "--shape", "s="])
    assert o.shape == ({"x": (8, 3, 224, 224), "a=b": (2,), "s": ()},)


@pytest.mark.parametrize(
    ("words", "sets"),
    [
        (["x=8x64", "x=16x64"], ({"x": (8, 64)}, {"x": (16, 64)})),
        (["x=8x64", "--shape", "x=16x64"], ({"x": (8, 64)}, {"x": (16, 64)})),
        (["x=8", "m=8x1", "x=16", "m=16x1"], ({"x": (8,), "m": (8, 1)}, {"x": (16,), "m": (16, 1)})),
        (["x=8", "x=16", "n=3"], ({"x": (8,), "n": (3,)}, {"x": (16,), "n": (3,)})),
        (["x=8", "x=8"], ({"x": (8,)},)),
    ],
)  # fmt: skip
def test_an_input_given_several_shapes_is_a_sweep(
    words: list[str], sets: tuple[dict[str, tuple[int, ...]], ...]
) -> None:
    assert parse(["--shape", *words]).shape == sets


def test_a_run_of_before_sweeps_holds_one_shape_of_each_input() -> None:
    stored = {f.name: f.default for f in FLAGS} | {"shape": {"x": [8, 64]}}
    assert options.build_options(stored).shape == ({"x": (8, 64)},)


@pytest.mark.parametrize(
    ("words", "timeout"),
    [
        (["--timeout", "5"], Timeouts(5.0)),
        (
            ["--timeout", "build=3600,run=300"],
            Timeouts(1800.0, {"register": 15.0, "build": 3600.0, "run": 300.0}),
        ),
        (["--timeout", "launch=10,prepare=2"], Timeouts(10.0, {"register": 15.0, "prepare": 2.0})),
    ],
)
def test_timeouts_are_one_number_or_stages_apart(words: list[str], timeout: Timeouts) -> None:
    assert parse(words).timeout == timeout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-r", "fast"], "--running_mode fast: use one of validate, benchmark, both"),
        (["-i", "dog"], "--input_data dog: use one of random, zoo"),
        (["-t", "0"], "--test_times 0: must be at least 1"),
        (["-t", "many"], "--test_times many: 'many' is no whole number"),
        (["--launches", "0"], "--launches 0: must be at least 1"),
        (["--rtol", "-1"], "--rtol -1: must be at least 0"),
        (["--rtol", "nan"], "--rtol nan: must be at least 0"),
        (["--rtol", "1"], "--rtol 1: must be below 1: that would let anything pass"),
        (["--rtol", "inf"], "--rtol inf: must be below 1"),
        (["--atol", "nan"], "--atol nan: must be at least 0"),
        (["--atol", "inf"], "--atol inf: must be below 1e+06"),
        (["--atol", "1e6"], "--atol 1e6: must be below 1e+06"),
        (["--percent_mismatch", "100"], "--percent_mismatch 100: must be below 100"),
        (["--percent_mismatch", "nan"], "--percent_mismatch nan: must be at least 0"),
        (["-t", "200001"], "--test_times 200001: must be at most 200000"),
        (["--launches", "9" * 30], "must be at most 2147483647"),
        (["--warmup", "9" * 5000], "Exceeds the limit"),
        (["--timeout", "inf"], "--timeout inf: must be at most 2147483647"),
        (["--memory_limit", "nan"], "--memory_limit nan: must be at least 0"),
        (["--max_time", "inf"], "--max_time inf: must be at most"),
        (["--cpu_affinity", "0-99999999999"], "0-99999999999 is no range of cores; cores are 0 to 8191"),
        (["--cpu_affinity", "3-1"], "3-1 is no range of cores"),
        (["-b", "maybe"], "--io_binding maybe: use on, off or both"),
        (["-g", "9"], "--graph_enablement 9: use one of disable, basic"),
        (["--shape", "a=1x2", "x"], "--shape a=1x2 x: 'x' is not name=8x3x224x224"),
        (["--shape", "x=8xx3"], "'x=8xx3' is not name=8x3x224x224"),
        (["--ep_options", "cpu"], "--ep_options cpu: 'cpu' is not TARGET:key=value"),
        (["--trt_ep_options", "fast"], "'fast' is not key=value"),
        (["--timeout", "later"], "--timeout later: 'later' is no number"),
        (["--timeout", "0"], "--timeout 0: must be above 0"),
        (["--timeout", "sleep=3"], "unknown stage 'sleep'; stages are build, launch, prepare, register, run"),
        (["--min_ep_share", "2"], "must lie in 0…1"),
        (["--env", "python"], "'python' is not NAME=PYTHON"),
        (["--cpu_affinity", "a"], "--cpu_affinity a: "),
        (["--isolation", "vm"], "use one of host, spawn"),
        (["--exec_prefix", "nice"], "--exec_prefix needs --isolation spawn"),
        (["--exec_prefix", "say 'it", "--isolation", "spawn"], "No closing quotation"),
        (["--min_time", "9", "--max_time", "3"], "--max_time 3 is less than --min_time 9"),
        (["--shape", "x=1", "x=2", "m=1", "m=2", "m=3"], "x has 2 shapes and m 3: give each input as many, or"),
        (["--ab", "cpu", "ov", "--shape", "x=1", "x=2"], "--ab compares one shape at a time, and --shape gives 2"),
        (["--ab", "cpu"], "--ab takes two targets, got 1"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["-T", "3"], "unrecognized arguments: -T; nearest to -T is -t"),
        (["--modles", "relu"], "nearest to --modles is --models"),
        (["-t"], "expected one argument"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_the_flag(words: list[str], says: str) -> None:
    with pytest.raises(BadRequestError) as e:
        parse(words)
    assert says in str(e.value)
    assert "\n" not in str(e.value)


def test_flags_are_never_guessed_from_their_beginning() -> None:
    with pytest.raises(BadRequestError):
        parse(["--launch", "3"])


def test_options_survive_the_way_through_run_json() -> None:
    o = parse(
        ["-e", "cpu", "--ep_options", "cpu[v]:a=b,c", "--shape", "x=1x2", "x=3x4", "--timeout", "build=9",
         "--env", "n=/p", "--cpu_affinity", "0-1", "--trt_profile", "x=1:2:3", "-b", "both", "-vv"]
    )  # fmt: skip
    stored = json.loads(json.dumps({f.name: codec.encode(getattr(o, f.name)) for f in FLAGS}))
    assert options.build_options(stored) == o


def test_explicit_names_only_what_was_given() -> None:
    assert options.given_flags(["-t", "3", "--no-fp16"]) == {"test_times", "fp16"}


@pytest.mark.parametrize("run_id", ["", ".hidden", "a/b", "..", "a b", "x" * 101])
def test_a_run_id_that_is_no_folder_name_is_refused(run_id: str) -> None:
    with pytest.raises(BadRequestError, match="use letters, digits"):
        options.check_run_id(run_id)


@pytest.mark.parametrize(
    "run_id",
    ["latest", "verdicts.jsonl", "benchmark_latency_x.csv", "baselines", "history.sqlite-wal"],
)
def test_a_run_id_that_the_folder_of_results_means_otherwise_is_refused(run_id: str) -> None:
    with pytest.raises(BadRequestError, match="means something else by that name"):
        options.check_run_id(run_id)


def test_a_run_id_that_is_in_use_is_refused_whatever_lies_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    for taken in ("link", "file"):
        with pytest.raises(BadRequestError, match=f"run {taken} exists in .*; choose another"):
            options.check_run_id(taken, tmp_path)
    assert options.check_run_id("free", tmp_path) == "free"
