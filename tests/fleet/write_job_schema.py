"""Takes the published schema of a Kubernetes Job, and all that it refers to, out of kubernetes-validate's wheel.

    pip download --no-deps kubernetes-validate==1.37.0
    python -m tests.fleet.write_job_schema kubernetes_validate-1.37.0-py3-none-any.whl v1.33.0 v1.37.0

The wheel holds every kind of thing of 13 versions (270 MB unpacked); descriptions are left out.
"""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = "kubernetes_validate/kubernetes-json-schema"


def main() -> None:
    wheel, *versions = sys.argv[1:]
    with zipfile.ZipFile(wheel) as opened:
        for version in versions:
            folder = f"{FOLDER}/{version}-local-strict"
            job = json.loads(opened.read(f"{folder}/job-batch-v1.json"))
            every = json.loads(opened.read(f"{folder}/_definitions.json"))["$defs"]
            path = Path(__file__).parent / f"kubernetes_job_{version}.json"
            path.write_text(json.dumps(schema(job, every), separators=(",", ":")) + "\n")


def schema(job: Any, every: dict[str, Any]) -> Any:
    """A job's schema with the definitions that it needs, by a reference inside it."""
    needed: dict[str, Any] = {}
    waiting = list(references(job))
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed[name] = every[name]
            waiting += references(every[name])
    return slim({**job, "$defs": dict(sorted(needed.items()))})


def references(part: Any) -> Iterator[str]:
    """Names of the definitions that a part refers to."""
    match part:
        case dict():
            for key, value in part.items():
                if key == "$ref":
                    yield str(value).rpartition("/")[2]
                else:
                    yield from references(value)
        case list():
            for value in part:
                yield from references(value)
        case _:
            pass


def slim(part: Any) -> Any:
    """The same without prose, its references inside it."""
    match part:
        case {"$ref": str(ref)}:
            return {"$ref": f"#/$defs/{ref.rpartition('/')[2]}"}
        case dict():
            prose = isinstance(part.get("description"), str)
            return {k: slim(v) for k, v in part.items() if not (k == "description" and prose)}
        case list():
            return [slim(v) for v in part]
        case _:
            return part


if __name__ == "__main__":
    main()
