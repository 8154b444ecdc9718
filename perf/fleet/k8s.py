"""A run on many hosts as a Kubernetes Indexed Job: `ep-perf fleet k8s --image I --shards N …`.

It prints the job for `kubectl apply -f -`. Kubernetes queues, places and starts a pod for each shard, again
where a pod was lost; what comes back is merged by `ep-perf results merge`.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from perf.fleet.fleet_request import OURS, require_run_of_a_plan
from perf.fleet.program import FleetParser, report
from perf.request import options as command_line
from perf.request.options import BadRequestError, Options, to_argv
from perf.request.programs import command_of

OWN = "shard"  # name of the container, which the failure policy speaks of
APP = "ep-perf"
FINAL = [1, 2, 3]  # exit statuses that would come again
NEVER_TWICE_ON_A_NODE = {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": APP}}}
    ]
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the job of a command line; returns the exit status."""
    return report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args, rest = make_parser().split(argv)
    options = command_line.parse(rest)
    require_run_of_a_plan(options)
    job = render(args, options, to_argv(rest, OURS))
    print(json.dumps(job, indent=1))
    for line in _next_steps(job, options.run_id, args):
        print(line, file=sys.stderr)
    return 0


def render(args: argparse.Namespace, options: Options, words: Sequence[str]) -> Mapping[str, Any]:
    """The job, as the API takes it. Raises BadRequestError."""
    if args.shards < 1 or args.nodes < 1:
        raise BadRequestError("--shards and --nodes: use at least 1")
    name = job_name(options.run_id)
    labels = {"app": APP, "ep-perf/run": name}
    claims = dict(_claim(text) for text in args.claim)
    hooked = bool(args.store)
    if not hooked and not any(_lies_below(args.results, path) for path in claims.values()):
        raise BadRequestError(
            f"--results {args.results}: on no volume, so that it would go with its pod; "
            "give --claim NAME=PATH above it, or --store 'COMMAND {folder}'"
        )
    volumes = [
        {"name": f"claim-{i}", "persistentVolumeClaim": {"claimName": claim}}
        for i, claim in enumerate(claims)
    ]
    mounts = [{"name": f"claim-{i}", "mountPath": path} for i, path in enumerate(claims.values())]
    if hooked:
        volumes.append({"name": "results", "emptyDir": {}})
        mounts.append({"name": "results", "mountPath": args.results})
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 120,
        "affinity": {"podAntiAffinity": NEVER_TWICE_ON_A_NODE},
        "containers": [
            {
                "name": OWN,
                "image": args.image,
                "workingDir": args.home,
                "command": _command(args, options, words),
                "env": [
                    {"name": "EP_PERF_HOST", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "PYTHONPATH", "value": args.home},
                ],
                "resources": _resources(args),
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
        **({"nodeSelector": dict(map(_pair, args.node_selector))} if args.node_selector else {}),
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": labels,
            **({"namespace": args.namespace} if args.namespace else {}),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": args.shards,
            "parallelism": min(args.nodes, args.shards),
            "backoffLimitPerIndex": args.retries,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailIndex",
                        "onExitCodes": {"containerName": OWN, "operator": "In", "values": FINAL},
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }  # fmt: skip


def job_name(run_id: str) -> str:
    """A name that Kubernetes takes, of a run's id; two ids never share one."""
    plain = re.sub(r"[^a-z0-9-]+", "-", run_id.lower()).strip("-")
    if plain != run_id or len(plain) > 40:
        plain = f"{plain[:40].strip('-')}-{hashlib.sha256(run_id.encode()).hexdigest()[:6]}"
    return f"{APP}-{plain}"


def _command(args: argparse.Namespace, options: Options, words: Sequence[str]) -> list[str]:
    python = args.python or str(PurePosixPath(args.home) / ".venv" / "bin" / "python")
    costs = ["--shard_costs", options.shard_costs] if options.shard_costs else []
    hooks = [
        w
        for flag, text in (("--fetch", args.fetch), ("--store", args.store))
        if text
        for w in (flag, text)
    ]
    return [
        python, "-P", "-m", "perf.fleet.shard", "--index", "JOB_COMPLETION_INDEX:0",
        "--shards", str(args.shards), "--run_id", options.run_id, "-o", args.results, *hooks, "--no_install",
        *(w for w in words if w != "--no_install"), *costs,
    ]  # fmt: skip


def _resources(args: argparse.Namespace) -> Mapping[str, Any]:
    """Boards of a node, and as much of its cores and memory as keeps others away."""
    boards = {args.gpu_resource: str(args.gpus)} if args.gpus else {}
    asked = {k: v for k, v in (("cpu", args.cpu), ("memory", args.memory)) if v}
    return {k: v for k, v in (("requests", asked | boards), ("limits", boards)) if v}


def _next_steps(job: Mapping[str, Any], run_id: str, args: argparse.Namespace) -> Sequence[str]:
    wait = f"kubectl wait --for=condition=complete --timeout=-1s job/{job['metadata']['name']}"
    merge = f"python -m perf.fleet.merge {args.results}/{run_id}/shards/* --run_id {run_id}"
    return (
        f"# {job['spec']['completions']} shards: pipe this into kubectl apply -f -, then {wait}",
        f"# then, where the results lie: {merge} -o {args.results}",
    )


def _claim(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not PurePosixPath(path).is_absolute():
        raise BadRequestError(f"--claim {text}: use NAME=PATH, an absolute path in the container")
    return name, path


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadRequestError(f"--node_selector {text}: use KEY=VALUE")
    return key, value


def _lies_below(path: str, mount: str) -> bool:
    return PurePosixPath(path).is_relative_to(PurePosixPath(mount))


def make_parser() -> FleetParser:
    """The flags of a fleet on Kubernetes."""
    prog = command_of("perf.fleet.k8s")
    out = FleetParser(
        prog, "A run as a Kubernetes Indexed Job, on stdout. All other flags are those of a run.",
        examples=(f"{prog} --image ep-perf:trt10 --shards 64 --claim lab=/results --run_id night -m …",),
    )  # fmt: skip
    out.add_argument("--image", required=True, help="an image of docker/build_images.sh")
    out.add_argument(
        "--shards", required=True, type=int, metavar="N", help="parts of the plan, a pod each"
    )
    out.add_argument(
        "--nodes", type=int, default=1, metavar="N", help="pods that may work at once (default 1)"
    )
    out.add_argument("--retries", type=int, default=3, metavar="N",
                     help="how often a shard is begun again (default 3); lost nodes not counted")  # fmt: skip
    out.add_argument("--claim", action="append", default=[], metavar="NAME=PATH",
                     help="a persistent volume claim and its mount, for results, for models")  # fmt: skip
    out.add_argument("--results", default="/results", metavar="PATH",
                     help="folder of results in the container (default /results)")  # fmt: skip
    out.add_argument("--store", default="", metavar="'COMMAND {folder}'",
                     help="instead of a claim, what carries results away as a shard ends")  # fmt: skip
    out.add_argument("--fetch", default="", metavar="'COMMAND {folder}'",
                     help="what brings back what an earlier attempt stored")  # fmt: skip
    out.add_argument("--gpus", type=int, default=0, metavar="N", help="boards that a pod is given")
    out.add_argument("--gpu_resource", default="nvidia.com/gpu", metavar="NAME")
    out.add_argument("--node_selector", action="append", default=[], metavar="KEY=VALUE",
                     help="labels of the nodes: nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3")  # fmt: skip
    out.add_argument("--cpu", default="", metavar="CORES", help="ask for a node's whole: 31")
    out.add_argument("--memory", default="", metavar="SIZE", help="the same: 120Gi")
    out.add_argument("--namespace", default="", metavar="NAME")
    out.add_argument(
        "--home", default="/opt/ep-perf", metavar="PATH", help="the harness in the image"
    )
    out.add_argument(
        "--python", default="", metavar="PATH", help="its Python (default HOME/.venv/bin/python)"
    )
    return out


if __name__ == "__main__":
    sys.exit(main())
