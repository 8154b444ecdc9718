"""What the client of Azure Data Explorer speaks to, in memory: a cluster, its blob store and its queue. No real one is near."""

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from typing_extensions import override

Row: TypeAlias = dict[str, Any]
AUTHORISED = "Bearer "
WHEN = b"Sun, 29 Nov 2026 10:00:00 GMT"
QUEUED = (
    b"<QueueMessagesList><QueueMessage><MessageId>m</MessageId><InsertionTime>"
    + WHEN
    + b"</InsertionTime>"
    b"<ExpirationTime>"
    + WHEN
    + b"</ExpirationTime><PopReceipt>p</PopReceipt><TimeNextVisible>"
    + WHEN
    + b"</TimeNextVisible></QueueMessage></QueueMessagesList>"
)


@dataclass
class FakeCluster:
    """Tables as extents: what was ingested together, with its tags."""

    address: str = ""  # host:port
    token: str = ""
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    extents: dict[str, list[tuple[set[str], list[Row]]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def rows(self, table: str) -> list[Row]:
        """What a query of a table would give."""
        return [row for _, rows in self.extents.get(table, []) for row in rows]

    def run(self, command: str) -> dict[str, Any]:
        """A control command's answer, in the service's first format."""
        self.commands.append(command)
        if command == ".get ingestion resources":
            base = f"http://{self.address}"
            kinds = ("SecuredReadyForAggregationQueue", "FailedIngestionsQueue",
                     "SuccessfulIngestionsQueue", "TempStorage", "IngestionsStatusTable")  # fmt: skip
            return _answer(
                {"ResourceTypeName": k, "StorageRoot": f"{base}/{k.lower()}?sig=x"} for k in kinds
            )
        if command == ".get kusto identity token":
            return _answer([{"AuthorizationContext": "context"}])
        if match := re.fullmatch(r"\.create-merge table \['(\w+)'\] \((.*)\)", command):
            self.columns[match[1]] = dict(re.findall(r"\['([^']*)'\]:(\w+)", match[2]))
            return _answer([{"TableName": match[1]}])
        dropped = re.fullmatch(
            r"\.drop extents <\| \.show table \['(\w+)'\] extents where tags has \"(.*)\" and tags !has \"(.*)\"",
            command,
        )
        assert dropped is not None, command
        table, old, new = dropped.groups()
        kept = [e for e in self.extents.get(table, []) if old not in e[0] or new in e[0]]
        self.extents[table] = kept
        return _answer([{"ExtentId": "x"}])

    def take_in(self, message: Row) -> None:
        """What the service does with a queued message, some minutes later."""
        more = message["AdditionalProperties"]
        table, tags = message["TableName"], set(json.loads(more["tags"]))
        present = {t for e in self.extents.get(table, []) for t in e[0]}
        if {f"ingest-by:{t}" for t in json.loads(more["ingestIfNotExists"])} & present:
            return
        path = message["BlobPath"].split("?")[0].removeprefix(f"http://{self.address}")
        lines = gzip.decompress(self.blobs[path]).decode().splitlines()
        mapped = {
            m["column"]: m["properties"]["Path"] for m in json.loads(more["ingestionMapping"])
        }
        assert mapped == {c: f"$['{c}']" for c in self.columns[table]}
        self.extents.setdefault(table, []).append((tags, [json.loads(line) for line in lines]))


def _answer(rows: Any) -> dict[str, Any]:
    found = list(rows)
    columns = [{"ColumnName": n, "DataType": "String", "ColumnType": "string"} for n in found[0]]
    return {
        "Tables": [
            {"TableName": "Table_0", "Columns": columns, "Rows": [list(r.values()) for r in found]}
        ]
    }


class _Handler(BaseHTTPRequestHandler):
    cluster: FakeCluster

    def do_GET(self) -> None:
        self._reply(404, b"")  # no cloud's metadata: the client takes the public cloud's

    def do_PUT(self) -> None:
        self.cluster.blobs[self.path.split("?")[0]] = self._body()
        self._reply(201, b"")

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/securedready"):
            text = re.search(rb"<MessageText>(.*)</MessageText>", body, re.DOTALL)
            assert text is not None
            self.cluster.take_in(json.loads(base64.b64decode(text[1])))
            self._reply(201, QUEUED)
        elif self.headers.get("Authorization") != AUTHORISED + self.cluster.token:
            self._reply(401, b"who are you?")
        else:
            self._reply(200, json.dumps(self.cluster.run(json.loads(body)["csl"])).encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header(
            "Content-Type", "application/xml" if body[:1] == b"<" else "application/json"
        )
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read what is printed."""


@contextmanager
def serve(token: str) -> Iterator[FakeCluster]:
    """A cluster at a port of this machine, until the block ends."""
    cluster = FakeCluster(token=token)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    cluster.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
