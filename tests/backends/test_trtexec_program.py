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
from perf.backends.trtexec import NoSuchProgramError, find_trtexec, library_path
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
    assert (OLD.version, TEN.version, ELEVEN.version) == ((8, 6, 1), (10, 6, 0), (11, 1, 0))
    assert OLD.weakly_typed
    assert TEN.weakly_typed
    assert not ELEVEN.weakly_typed
    assert "--useCudaGraph" in TEN.flags
    assert "--useCudaGraph" not in ELEVEN.flags
    assert "--fp16" not in ELEVEN.flags


def test_a_deprecated_half_precision_flag_is_one_until_it_does_nothing() -> None:
    """Weak typing is deprecated in the last versions of 10; no help text of theirs was at hand."""
    text = (RECORDED / "help_10.6.txt").read_text()
    old = "--fp16                      Enable"
    assert old in text
    fading = parse_help("trtexec", text.replace(old, "--fp16    [Deprecated] Enable"))
    assert fading.weakly_typed
    assert not parse_help(
        "trtexec", text.replace(old, "--fp16    [Deprecated] A no-op. Enable")
    ).weakly_typed


def test_half_precision_is_a_flag_where_there_is_one_and_the_model_where_not() -> None:
    half = replace(BUILD, precision=Precision.FP16)
    assert "--fp16" in build_command(OLD, half)
    assert "--fp16" in build_command(TEN, half)
    assert "--fp16" not in build_command(ELEVEN, half)
    assert "--fp16" not in build_command(TEN, BUILD)
    assert typing_regime(TEN, Precision.FP16) == "TensorRT 10.6.0, weakly typed --fp16"
    assert typing_regime(ELEVEN, Precision.FP16) == "TensorRT 11.1.0, strongly typed model"


@pytest.mark.parametrize("program", [OLD, TEN, ELEVEN], ids=["8.6", "10.6", "11.1"])
def test_a_build_infers_nothing_and_tells_its_layers(program: Program) -> None:
    line = build_command(program, BUILD)
    assert {"--skipInference", "--profilingVerbosity=detailed", "--noTF32"} <= set(line)
    assert "--noTF32" not in build_command(program, replace(BUILD, tf32=True))
    flags = {x.partition("=")[0] for x in line[1:]}
    assert flags <= program.flags


def test_before_8_6_building_alone_had_another_name() -> None:
    older = Program("trtexec", (8, 5, 3), OLD.flags - {"--skipInference"} | {"--buildOnly"})
    assert "--buildOnly" in build_command(older, BUILD)


def test_host_to_host_means_the_same_for_all_three() -> None:
    assert "--noDataTransfers" not in run_command(TEN, RUN)
    assert "--useCudaGraph" not in run_command(TEN, RUN)
    assert {"--exposeDMA", "--useSpinWait", "--infStreams=1"} <= set(run_command(TEN, RUN))
    assert {"--exposeDMA", "--useSpinWait", "--streams=1"} <= set(run_command(OLD, RUN))
    eleven = set(run_command(ELEVEN, RUN))
    assert {"--includeDataTransfers", "--noCudaGraph", "--exposeDMA", "--infStreams=1"} <= eleven
    assert "--useSpinWait" not in eleven  # its default, and the flag is deprecated


def test_compute_alone_means_the_same_for_all_three() -> None:
    alone = replace(RUN, transfers=False)
    assert "--noDataTransfers" in run_command(OLD, alone)
    assert "--noDataTransfers" in run_command(TEN, alone)
    assert "--includeDataTransfers" not in run_command(ELEVEN, alone)
    assert "--noDataTransfers" not in run_command(ELEVEN, alone)


def test_a_cuda_graph_where_it_is_asked_for() -> None:
    graph = replace(RUN, cuda_graph=True)
    assert "--useCudaGraph" in run_command(TEN, graph)
    assert not {"--noCudaGraph", "--useCudaGraph"} & set(run_command(ELEVEN, graph))


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
    with pytest.raises(NoSuchProgramError, match="no such executable file"):
        find_trtexec(str(tmp_path / "nowhere"), "", os.environ)


def test_a_tarball_s_libraries_come_first(tmp_path: Path) -> None:
    bin_ = executable(tmp_path / "TensorRT/bin/trtexec")
    assert library_path(str(bin_), {"LD_LIBRARY_PATH": "/x"}) == "/x"
    (tmp_path / "TensorRT/lib").mkdir()
    (tmp_path / "TensorRT/lib/libnvinfer.so.10").touch()
    assert library_path(str(bin_), {"LD_LIBRARY_PATH": "/x"}) == f"{tmp_path}/TensorRT/lib:/x"
    assert library_path(str(bin_), {}) == f"{tmp_path}/TensorRT/lib"
