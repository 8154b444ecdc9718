"""A real HTTP server on loopback that can misbehave in every way a download must survive."""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "onnxmodelzoo/legacy_models"


@dataclass
class Served:
    """One file on the server and how it is served."""

    body: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    drops: list[int] = field(default_factory=list)  # body bytes sent before each early hang-up
    statuses: list[int] = field(default_factory=list)  # answered first, one a request
    promise: int | None = None  # a lying Content-Length
    wrong_range: bool = False  # answers 206 with a range that was not asked for
    redirect: str | None = None
    stall: threading.Event | None = None  # waited for after a drop's bytes, before the hang-up


class Server:
    """Files by path, the requests that came, and the address."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []
        handler = type("Handler", (_Handler,), {"world": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}"

    def put(self, path: str, body: bytes, **how: Any) -> str:
        own: dict[str, Any] = {k: list(v) if isinstance(v, list) else v for k, v in how.items()}
        self.files[path] = Served(body, **own)
        return self.base + path

    def put_zoo(self, files: dict[str, bytes]) -> None:
        """Serve files of the zoo's repository, its info and its tree, as huggingface_hub's source expects."""
        api = f"/api/models/{REPOSITORY}"
        info = {
            "_id": "1",
            "id": REPOSITORY,
            "sha": COMMIT,
            "private": False,
            "siblings": [],
            "tags": [],
        }
        tree = []
        for path, body in files.items():
            lfs = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
            tree.append(
                {"type": "file", "path": path, "size": len(body), "oid": "0" * 40, "lfs": lfs}
            )
            for revision in (COMMIT, "main"):
                self.put(f"/{REPOSITORY}/resolve/{revision}/{path}", body)
        self.put(f"{api}/revision/main", json.dumps(info).encode())
        self.put(f"{api}/tree/{COMMIT}/validated", json.dumps(tree).encode())


class _Handler(http.server.BaseHTTPRequestHandler):
    world: Server

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, self.headers.get("Range")
        self.world.requests.append((path, asked))
        served = self.world.files.get(path)
        if served is None or served.statuses:
            self.send_error(served.statuses.pop(0) if served else 404)
        elif served.redirect:
            self._answer(302, Location=served.redirect)
        elif asked and served.ranges and self.headers.get("If-Range") in {None, served.etag}:
            self._send(served, int(asked.removeprefix("bytes=").removesuffix("-")))
        else:
            self._send(served, None)

    def _send(self, served: Served, start: int | None) -> None:
        total, body = len(served.body), served.body[start or 0 :]
        promise = served.promise if served.promise is not None else len(body)
        headers = {"Content-Length": str(promise)} | ({"ETag": served.etag} if served.etag else {})
        if start is None:
            self._answer(200, **headers)
        elif start >= total:
            self._answer(
                416, **headers | {"Content-Range": f"bytes */{total}", "Content-Length": "0"}
            )
            return
        else:
            shown = 0 if served.wrong_range else start
            self._answer(206, **headers, **{"Content-Range": f"bytes {shown}-{total - 1}/{total}"})
        if served.drops:
            body = body[: served.drops.pop(0)]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            if served.stall and promise > len(body):
                served.stall.wait(60)
        self.close_connection = True

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    world = Server()
    thread = threading.Thread(target=world.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield world
    world.http.shutdown()
    world.http.server_close()
    thread.join()
