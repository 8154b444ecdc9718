"""The Kubernetes job: held to the published schema, and to what it must say of shards, failures and hosts."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from perf.fleet import k8s
from perf.fleet.k8s import job_name
from perf.fleet.shard import shard_number

SCHEMAS = sorted(Path(__file__).parent.glob("kubernetes_job_v*.json"))
BASE = (
    "--image",
    "registry.example/ep-perf:trt10",
    "--shards",
    "64",
    "--nodes",
    "8",
    "--run_id",
    "night.7",
)
CLAIM = ("--claim", "lab=/results")
RUN = ("-m", "/results/list.json", "-e", "cuda", "cpu", "-t", "50")


def rendered(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert k8s.main(words) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda p: p.stem)
@pytest.mark.parametrize(
    "more",
    [
        CLAIM,
        (*CLAIM, "--claim", "zoo=/models", "--gpus", "1", "--cpu", "31", "--memory", "120Gi", "--namespace", "lab",
         "--node_selector", "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3", "--shard_costs", "/results/costs.json"),
        ("--store", "rclone copy {folder} s3:lab/{run_id}/{shard}", "--fetch", "rclone copy s3:lab {folder}"),
    ],
    ids=["volume", "gpu", "object store"],
)  # fmt: skip
def test_the_published_schema_takes_it(
    schema: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    job = rendered(capsys, *BASE, *more, *RUN)
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    assert [e.message for e in validator.iter_errors(job)] == []
    job["spec"]["backoffLimitPerIndexes"] = 1  # the schema is strict: a slip would show
    assert list(validator.iter_errors(job))


def test_there_are_two_schemas() -> None:
    assert [p.stem for p in SCHEMAS] == ["kubernetes_job_v1.33.0", "kubernetes_job_v1.37.0"]


def test_failures_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    spec = rendered(capsys, *BASE, *CLAIM, "--retries", "5", *RUN)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 64, 8)
    assert spec["backoffLimitPerIndex"] == 5
    lost, final = spec["podFailurePolicy"]["rules"]
    assert lost == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert final["action"] == "FailIndex"
    assert final["onExitCodes"] == {
        "containerName": "shard",
        "operator": "In",
        "values": [1, 2, 3],
    }
    assert spec["template"]["spec"]["containers"][0]["name"] == "shard"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # failure policies need it


def test_a_pod_runs_its_own_shard_alone_on_its_node(capsys: pytest.CaptureFixture[str]) -> None:
    pod = rendered(capsys, *BASE, *CLAIM, "--gpus", "2", *RUN)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    command = container["command"]
    assert command[:6] == [
        "/opt/ep-perf/.venv/bin/python",
        "-P",
        "-m",
        "perf.fleet.shard",
        "--index",
        "JOB_COMPLETION_INDEX:0",
    ]
    assert shard_number(command[5], {"JOB_COMPLETION_INDEX": "0"}, 64) == 1
    assert shard_number(command[5], {"JOB_COMPLETION_INDEX": "63"}, 64) == 64
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    (term,) = pod["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_it_says_how_to_wait_and_how_to_merge(capsys: pytest.CaptureFixture[str]) -> None:
    assert k8s.main([*BASE, *CLAIM, *RUN]) == 0
    told = capsys.readouterr().err
    assert "kubectl wait --for=condition=complete --timeout=-1s job/ep-perf-night-7-" in told
    assert (
        "python -m perf.fleet.merge /results/night.7/shards/* --run_id night.7 -o /results" in told
    )


@pytest.mark.parametrize("run_id", ["night", "Night", "night_7", "night-7", "x" * 100, "9.9"])
def test_a_run_s_id_becomes_a_name_that_kubernetes_takes(run_id: str) -> None:
    name = job_name(run_id)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 55  # pods add an index and five letters to it: 63 at most
    assert name != job_name(run_id + "_")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*BASE, *RUN), "on no volume, so that it would go with its pod"),
        ((*BASE, "--claim", "lab=results", *RUN), "an absolute path"),
        ((*BASE, "--claim", "lab=/data", *RUN), "on no volume"),
        ((*BASE, *CLAIM, *RUN, "--launche", "2"), "--launche"),
        ((*BASE, *CLAIM, *RUN, "--shard", "1/2"), "--shard: a fleet shares a whole plan out"),
        ((*BASE, *CLAIM, *RUN, "--node_selector", "gpu"), "use KEY=VALUE"),
        (("--image", "x", "--shards", "0", "--run_id", "x", *CLAIM, *RUN), "use at least 1"),
        (("--image", "x", "--shards", "2", *CLAIM, *RUN), "--run_id is missing"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert k8s.main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert says in told.err
