"""Names of targets as people spell them, resolved in the environments there are."""

import pytest

from perf import backends
from perf.backends import Backend, ProbeResult, TargetSpec
from perf.planning import targets
from perf.planning.targets import Offer, ProbedEnvironment
from perf.request.environments import EnvironmentSpec
from perf.request.options import BadRequestError
from perf.schema.cell import Environment, Precision

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
GPU = ("NVIDIA H100",)


def place(
    name: str, *providers: str, serves: tuple[str, ...] = (), gpus: tuple[str, ...] = (), problem: str = "",
    default: bool = True, plugin: dict[str, str] | None = None,
) -> ProbedEnvironment:  # fmt: skip
    spec = EnvironmentSpec(
        name, python=f"/{name}", targets=serves, default=default, plugin=plugin or {}
    )
    devices = (plugin["ep_name"],) if plugin else ()
    versions = {"onnxruntime": "1.31.1"}
    found = ProbeResult(providers=providers, versions=versions, gpus=gpus, plugin_devices=devices)
    return ProbedEnvironment(spec, Environment(name, f"/{name}"), found, problem)


def offered(*places: ProbedEnvironment) -> tuple[Offer, ...]:
    return targets.make_offers(places, backends.discover_backends(), {})


HERE = offered(
    place("current", CPU, "AzureExecutionProvider"),
    place("openvino", CPU, OPENVINO, serves=(OPENVINO,)),
    place("other", CPU),
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("CPUExecutionProvider", CPU),
        ("cpu", CPU),
        ("CPU", CPU),
        ("ORT-CPUFp32", CPU),
        ("cpu@other", f"{CPU}@other"),
        ("cpu@current", CPU),
        ("ov", OPENVINO),
        ("trt:fp16", "TensorrtExecutionProvider_fp16"),
        ("TRTFp16", "Standalone_TRT_fp16"),
        ("ORT-CUDAFp16", "CUDAExecutionProvider_fp16"),
        ("cuda", "CUDAExecutionProvider"),
    ],
)
def test_a_target_is_found_by_name_alias_and_environment(name: str, label: str) -> None:
    assert targets.find_offer(HERE, name).label == label


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CPUExecutionProvder", "unknown EP 'CPUExecutionProvder'; nearest are CPUExecutionProvider"),
        ("cud", "nearest are cuda"),
        ("xyzzy", r"unknown EP 'xyzzy'; nearest are .*\(--list shows all\)"),
        ("cpu@nowhere", "no environment 'nowhere' serves it; these do: current, other"),
        ("ov@current", "no environment 'current' serves it; these do: openvino"),
    ],
)  # fmt: skip
def test_an_unknown_name_gets_the_nearest_ones(name: str, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        targets.find_offer(HERE, name)


def labels(
    *places: ProbedEnvironment, names: tuple[str, ...] = (), fp16: bool = True
) -> list[str]:
    return [o.label for o in targets.choose_targets(offered(*places), names, fp16=fp16)]


def test_without_a_gpu_the_defaults_are_what_runs_on_the_cpu() -> None:
    current = place("current", CPU, "AzureExecutionProvider")
    openvino = place("openvino", CPU, OPENVINO, serves=(OPENVINO,))
    cuda = place("cuda", serves=("CUDAExecutionProvider", "TensorrtExecutionProvider"))
    assert labels(current, openvino, cuda) == [CPU, OPENVINO]


def test_with_a_gpu_its_targets_are_defaults_too_and_fp16_only_where_wanted() -> None:
    names = [f"{ep}ExecutionProvider{p}" for ep in ("CUDA", "Tensorrt") for p in ("", "_fp16")]
    providers = (CPU, "CUDAExecutionProvider", "TensorrtExecutionProvider")
    cuda = place("cuda", *providers, serves=tuple(names), gpus=GPU)
    current = place("current", CPU, gpus=GPU)
    with_half = labels(current, cuda)
    assert with_half[0] == CPU
    assert set(names) <= set(with_half)
    assert not any(x.endswith("fp16") for x in labels(current, cuda, fp16=False))


def test_an_environment_that_is_no_default_serves_only_who_names_it() -> None:
    shy = place("shy", CPU, OPENVINO, serves=(OPENVINO,), default=False)
    assert labels(place("current", CPU), shy) == [CPU]
    assert labels(place("current", CPU), shy, names=("ov",)) == [OPENVINO]


def test_a_plug_in_is_a_target_under_the_name_its_environment_gives_it() -> None:
    plugin = {"target": "NxrtCpuExecutionProvider", "library": "x", "ep_name": "cpu_ep"}
    places = (place("current", CPU), place("nxrt", CPU, plugin=plugin, default=False))
    assert labels(*places) == [CPU]
    for name in ("nxrt", "nxrtcpu", "NxrtCpuExecutionProvider"):
        assert labels(*places, names=(name,)) == ["NxrtCpuExecutionProvider"]


def test_a_target_named_twice_is_one() -> None:
    assert labels(place("current", CPU), names=("cpu", CPU, "cpu@current")) == [CPU]


def test_an_fp16_target_named_without_fp16_is_a_contradiction() -> None:
    with pytest.raises(BadRequestError, match="is an fp16 target and --no_fp16 was given"):
        labels(place("current", CPU), names=("cuda:fp16",), fp16=False)


def test_every_backends_target_is_offered_once_with_a_reason_where_it_cannot_run() -> None:
    known = {t.label for b in backends.discover_backends() for t in b.targets}
    got = [o.target.label for o in offered(place("current", CPU))]
    assert set(got) == known
    assert len(got) == len(known)
    for o in offered(place("current", CPU)):
        assert bool(o.missing) != (o.label == CPU), o


def test_what_is_wrong_with_an_environment_is_said_of_its_targets() -> None:
    broken = place("openvino", serves=(OPENVINO,), problem="environment openvino is not built")
    (offer,) = [o for o in offered(place("c", CPU), broken) if o.target.label == OPENVINO]
    assert offer.missing == "environment openvino is not built"


def test_the_first_environment_that_serves_a_target_is_its_default() -> None:
    both = offered(place("a", CPU), place("b", CPU))
    assert [o.label for o in both if o.backend.reference] == [CPU, f"{CPU}@b"]


def test_spellings_of_all_backends_never_collide() -> None:
    seen: dict[str, TargetSpec] = {}
    for backend in backends.discover_backends():
        assert isinstance(backend, Backend)
        for target in backend.targets:
            for spelling in {s.lower() for s in (target.label, *target.aliases)}:
                assert spelling not in seen, spelling
                seen[spelling] = target
    assert {t.precision for t in seen.values()} <= set(Precision)
