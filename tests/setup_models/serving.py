"""A real HTTP server on loopback that can misbehave in every way a download must survive."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


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
        self.files[path] = Served(body, **how)
        return self.base + path


class _Handler(http.server.BaseHTTPRequestHandler):
    world: Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        asked = self.headers.get("Range")
        self.world.requests.append((path, asked))
        served = self.world.files.get(path)
        if served is None:
            self.send_error(404)
        elif served.statuses:
            self.send_error(served.statuses.pop(0))
        elif served.redirect:
            self.send_response(302)
            self.send_header("Location", served.redirect)
            self.end_headers()
        else:
            self._send(served, asked)

    def _send(self, served: Served, asked: str | None) -> None:
        start = 0
        fresh = self.headers.get("If-Range") in {None, served.etag}
        if asked and served.ranges and fresh:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(served.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(served.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            shown = 0 if served.wrong_range else start
            total = len(served.body)
            self.send_header("Content-Range", f"bytes {shown}-{total - 1}/{total}")
        else:
            self.send_response(200)
        body = served.body[start:]
        promise = served.promise if served.promise is not None else len(body)
        self.send_header("Content-Length", str(promise))
        if served.etag:
            self.send_header("ETag", served.etag)
        self.end_headers()
        if served.drops:
            body = body[: served.drops.pop(0)]
            self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            if served.stall and promise > len(body):
                served.stall.wait(60)
        if promise > len(body):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    world = Server()
    thread = threading.Thread(target=world.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield world
    world.http.shutdown()
    world.http.server_close()
    thread.join()
