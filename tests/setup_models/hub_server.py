"""The parts of the Hugging Face hub's HTTP interface that the zoo needs, for a server on loopback.

What the real hub answers was looked up in huggingface_hub's source; no live hub was reachable.
"""

import hashlib
import json

from tests.setup_models.serving import Server

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "onnxmodelzoo/legacy_models"


def put_zoo(server: Server, files: dict[str, bytes]) -> None:
    """Serve `files` (paths in the repository) with the repository's info and tree."""
    api = f"/api/models/{REPOSITORY}"
    info = {
        "_id": "1",
        "id": REPOSITORY,
        "sha": COMMIT,
        "private": False,
        "siblings": [],
        "tags": [],
    }
    server.put(f"{api}/revision/main", json.dumps(info).encode())
    tree = [
        {
            "type": "file",
            "path": path,
            "size": len(body),
            "oid": "0" * 40,
            "lfs": {
                "oid": hashlib.sha256(body).hexdigest(),
                "size": len(body),
                "pointerSize": 134,
            },
        }
        for path, body in files.items()
    ]
    server.put(f"{api}/tree/{COMMIT}/validated", json.dumps(tree).encode())
    for path, body in files.items():
        server.put(f"/{REPOSITORY}/resolve/{COMMIT}/{path}", body)
        server.put(f"/{REPOSITORY}/resolve/main/{path}", body)
