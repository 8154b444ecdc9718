"""What is asked of trtexec 8.6, 10.6 and 11.1, by the help each prints (recorded by hand)."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from perf.backends import Unsupported
from perf.backends._trtexec.program import (
    EngineBuild,
    EngineRun,
    Program,
    build_command,
    parse_help,
    parse_version,
    run_command,
    typing_regime,
)
from perf.backends.trtexec import find_trtexec, library_path
from perf.schema.cell import Precision
from perf.schema.shape_profiles import ShapeProfile

RECORDED = Path(__file__).parents[1] / "fakes" / "trtexec" / "recorded"
BUILD = EngineBuild("m.onnx", "m.engine", "t.cache", Precision.FP32, False, 0, (), {})
RUN = EngineRun("m.engine", 1, {}, {}, True, 20, 3, 200, times="times.json")


def program(version: str) -> Program:
    return parse_help("/opt/trtexec", (RECORDED / f"help_{version}.txt").read_text())


OLD, TEN, ELEVEN = program("8.6"), program("10.6"), program("11.1")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8601", (8, 6, 1)),
        ("8503", (8, 5, 3)),
        ("100600", (10, 6, 0)),
        ("101601", (10, 16, 1)),
        ("110100", (11, 1, 0)),
        ("8.6.1", (8, 6, 1)),
        ("11.1.0.106", (11, 1, 0, 106)),
    ],
)
def test_versions_packed_and_dotted(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_what_is_deprecated_is_not_taken_for_a_capability() -> None:
    """Weak typing is deprecated in the last versions of 10; no help text of theirs was at hand."""
    assert (OLD.version, TEN.version, ELEVEN.version) == ((8, 6, 1), (10, 6, 0), (11, 1, 0))
    assert (OLD.weakly_typed, TEN.weakly_typed, ELEVEN.weakly_typed) == (True, True, False)
    assert "--useCudaGraph" in TEN.flags - ELEVEN.flags
    text = (RECORDED / "help_10.6.txt").read_text()
    old = "--fp16                      Enable"
    assert old in text
    for words, typed in (("[Deprecated] Enable", True), ("[Deprecated] A no-op. Enable", False)):
        fading = parse_help("trtexec", text.replace(old, f"--fp16    {words}"))
        assert fading.weakly_typed is typed


@pytest.mark.parametrize(("program", "half"), [(OLD, True), (TEN, True), (ELEVEN, False)])
def test_a_build_infers_nothing_tells_its_layers_and_has_half_precision_by_a_flag_or_the_model(
    program: Program, half: bool
) -> None:
    line = build_command(program, BUILD)
    assert {"--skipInference", "--profilingVerbosity=detailed", "--noTF32"} <= set(line)
    assert {x.partition("=")[0] for x in line[1:]} <= program.flags
    assert "--noTF32" not in build_command(program, replace(BUILD, tf32=True))
    fp16 = build_command(program, replace(BUILD, precision=Precision.FP16))
    assert ("--fp16" in line, "--fp16" in fp16) == (False, half)
    before = replace(program, flags=program.flags - {"--skipInference"} | {"--buildOnly"})
    assert "--buildOnly" in build_command(before, BUILD)  # its name before 8.6


def test_the_record_says_by_what_layers_get_their_precision() -> None:
    assert typing_regime(TEN, Precision.FP16) == "TensorRT 10.6.0, weakly typed --fp16"
    assert typing_regime(ELEVEN, Precision.FP16) == "TensorRT 11.1.0, strongly typed model"


SERIAL = {"--exposeDMA", "--useSpinWait"}
MODES = [
    (OLD, {*SERIAL, "--streams=1"}, {"--noDataTransfers"}, {"--useCudaGraph"}),
    (TEN, {*SERIAL, "--infStreams=1"}, {"--noDataTransfers"}, {"--useCudaGraph"}),
    # where transfers are left out and graphs and spinning are in, unless it is told otherwise
    (ELEVEN, {"--exposeDMA", "--infStreams=1", "--includeDataTransfers", "--noCudaGraph"},
     {"--includeDataTransfers"}, {"--noCudaGraph"}),
]  # fmt: skip


@pytest.mark.parametrize(("program", "host", "alone", "graph"), MODES, ids=["8", "10", "11"])
def test_each_way_of_running_means_the_same_for_all_three(
    program: Program, host: set[str], alone: set[str], graph: set[str]
) -> None:
    """Host to host; and by which flags compute alone and a CUDA graph differ from it."""
    same = {
        "--loadEngine=m.engine",
        "--device=1",
        "--iterations=20",
        "--duration=3",
        "--warmUp=200",
    }
    plain = set(run_command(program, RUN)[1:])
    assert plain == {*same, *host, "--exportTimes=times.json"}
    assert set(run_command(program, replace(RUN, transfers=False))[1:]) == plain ^ alone
    assert set(run_command(program, replace(RUN, cuda_graph=True))[1:]) == plain ^ graph


@pytest.mark.parametrize("program", [OLD, TEN, ELEVEN], ids=["8.6", "10.6", "11.1"])
def test_no_line_has_a_flag_that_the_program_lacks(program: Program) -> None:
    everything = replace(
        RUN, outputs="o.json", layers="l.json", layer_times="p.json", shapes={"x": (1, 2)},
        inputs={"x": "x.bin"},
    )  # fmt: skip
    for run in (everything, replace(everything, transfers=False, cuda_graph=True)):
        assert {x.partition("=")[0] for x in run_command(program, run)[1:]} <= program.flags


def test_inputs_go_by_name_and_a_colon_in_a_name_is_no_separator() -> None:
    line = run_command(
        TEN, replace(RUN, inputs={"Input:0": "a.bin", "b": "b.bin"}, shapes={"b": ()})
    )
    assert "--loadInputs=Input:0:a.bin,b:b.bin" in line  # what follows the last colon is the file
    assert "--shapes=b:scalar" in line


@pytest.mark.parametrize("name", ["a,b", "it's"])
def test_names_that_its_lists_would_cut_are_declined(name: str) -> None:
    with pytest.raises(Unsupported, match="cannot take"):
        run_command(TEN, replace(RUN, inputs={name: "a.bin"}))
    with pytest.raises(Unsupported, match="cannot take"):
        build_command(TEN, replace(BUILD, profiles=(ShapeProfile(name, (1,), (1,), (1,)),)))


def test_the_ep_s_options_in_trtexec_s_words() -> None:
    options = {
        "trt_max_workspace_size": str(4 * 2**30),
        "trt_builder_optimization_level": "4",
        "trt_auxiliary_streams": "-1",
        "trt_engine_cache_enable": "True",
        "trtexec.sparsity": "enable",
        "trtexec.noBuilderCache": "",
    }
    line = build_command(TEN, replace(BUILD, options=options))
    assert "--memPoolSize=workspace:4096" in line
    assert "--builderOptimizationLevel=4" in line
    assert {"--sparsity=enable", "--noBuilderCache"} <= set(line)
    assert not any("axAux" in x or "cache_enable" in x for x in line)


@pytest.mark.parametrize("options", [{"speed": "high"}, {"trtexec.fp16": ""}])
def test_options_it_does_not_know_are_declined_by_name(options: dict[str, str]) -> None:
    with pytest.raises(Unsupported, match=next(iter(options)).removeprefix("trtexec.")):
        build_command(ELEVEN, replace(BUILD, options=options))


def test_profiles() -> None:
    profile = ShapeProfile("x", (1, 3), (4, 3), (8, 3))
    line = build_command(TEN, replace(BUILD, profiles=(profile,)))
    assert {"--minShapes=x:1x3", "--optShapes=x:4x3", "--maxShapes=x:8x3"} <= set(line)


@pytest.mark.parametrize("text", ["", "usage: something else", "bash: trtexec: not found"])
def test_what_is_no_trtexec_is_declined(text: str) -> None:
    with pytest.raises(Unsupported, match="not that of a trtexec"):
        parse_help("/bin/true", text)


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_found_as_given_then_below_the_workspace_then_home_then_path(tmp_path: Path) -> None:
    in_workspace = executable(tmp_path / "w/TensorRT-10.6/targets/x86_64-linux-gnu/bin/trtexec")
    at_home = executable(tmp_path / "home/bin/trtexec")
    on_path = executable(tmp_path / "p/trtexec")
    environ = {"PATH": str(on_path.parent), "TENSORRT_HOME": str(tmp_path / "home")}
    assert find_trtexec(str(at_home), str(tmp_path / "w"), environ) == str(at_home)
    assert find_trtexec("", str(tmp_path / "w"), environ) == str(in_workspace)
    assert find_trtexec("", str(tmp_path / "empty"), environ) == str(at_home)
    assert find_trtexec("", "", {"PATH": environ["PATH"]}) == str(on_path)
    assert find_trtexec("trtexec", "", {"PATH": environ["PATH"]}) == str(on_path)


def test_not_found_is_empty_and_a_wrong_path_is_said(tmp_path: Path) -> None:
    executable(tmp_path / "result/bin/trtexec")  # results are not searched
    (tmp_path / "a").mkdir()
    (tmp_path / "a/bin").mkdir()
    (tmp_path / "a/bin/trtexec").write_text("not executable")
    if not Path("/usr/src/tensorrt/bin/trtexec").exists():
        assert find_trtexec("", str(tmp_path), {"PATH": ""}) == ""
    with pytest.raises(Unsupported, match="no such executable file"):
        find_trtexec(str(tmp_path / "nowhere"), "", os.environ)


def test_a_tarball_s_libraries_come_first(tmp_path: Path) -> None:
    bin_ = executable(tmp_path / "TensorRT/bin/trtexec")
    assert library_path(str(bin_), {"LD_LIBRARY_PATH": "/x"}) == "/x"
    (tmp_path / "TensorRT/lib").mkdir()
    (tmp_path / "TensorRT/lib/libnvinfer.so.10").touch()
    assert library_path(str(bin_), {"LD_LIBRARY_PATH": "/x"}) == f"{tmp_path}/TensorRT/lib:/x"
    assert library_path(str(bin_), {}) == f"{tmp_path}/TensorRT/lib"
