"""Verified download of one file: resumed by byte range, retried, checked by its sha256."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from perf.conversion.errors import UserError
from setup_models.fetch.links import file_name, opener, require_safe

CHUNK_BYTES = 1 << 20
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

Progress = Callable[[str, int, int | None], None]  # file name, bytes so far, bytes in all


@dataclass(frozen=True)
class DownloadSpec:
    """A file to fetch: where it is and what it must be. Unknown digest or size: None."""

    url: str
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """How long a download insists: tries in all, first pause (doubled each time), socket wait."""

    attempts: int = 5
    pause_s: float = 0.5
    pause_limit_s: float = 30.0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Fetched:
    """A complete, verified file."""

    path: Path
    sha256: str
    size_bytes: int


class _TransientError(Exception):
    """Worth another try: a dropped connection, a short body, a busy server."""


def sha256_of(path: Path) -> str:
    """The file's sha256 as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    want: DownloadSpec,
    destination: Path,
    *,
    patience: RetryPolicy = RetryPolicy(),
    progress: Progress | None = None,
) -> Fetched:
    """Bring `want` to `destination`, whole and verified; else UserError, and no file there.

    Unfinished bytes are kept in `<destination>.part` (with the server's ETag beside it), so that
    the same call goes on where it stopped; a wrong digest or a full disk removes them.
    """
    require_safe(want.url)
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.is_file() and want.sha256 and sha256_of(destination) == want.sha256:
        return Fetched(destination, want.sha256, destination.stat().st_size)
    partial = destination.with_name(destination.name + ".part")
    with _held(partial) as file:
        resumed = _receive_all(want, file, partial, patience, progress)
        problem = _problem(want, partial)
        if problem and resumed:  # the kept bytes may be of another file: once more, from nothing
            file.truncate(0)
            _receive_all(want, file, partial, patience, progress)
            problem = _problem(want, partial)
        if problem:
            _discard(partial)
            raise UserError(problem)
        fetched = Fetched(destination, sha256_of(partial), partial.stat().st_size)
        partial.replace(destination)
        _etag_file(partial).unlink(missing_ok=True)
    return fetched


def show_progress(name: str, done_bytes: int, total_bytes: int | None) -> None:
    """A bar on a terminal's stderr, redrawn in place; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        return
    done_mib = done_bytes / (1 << 20)
    if total_bytes:
        share = min(1.0, done_bytes / total_bytes)
        bar = ("#" * round(share * 30)).ljust(30, ".")
        line = f"{name[:40]:<40} [{bar}] {share:4.0%} of {total_bytes / (1 << 20):.1f} MiB"
    else:
        line = f"{name[:40]:<40} {done_mib:.1f} MiB"
    end = "\n" if total_bytes and done_bytes >= total_bytes else ""
    print(f"\r{line}", end=end, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _held(partial: Path) -> Iterator[BinaryIO]:
    """The partial file, open for appending and locked against a second download of the same."""
    try:
        file = partial.open("ab")
    except OSError as error:
        raise UserError(f"{partial}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{partial}: another process is downloading this file") from error
        try:
            yield file
        finally:
            if partial.exists() and partial.stat().st_size == 0:
                _discard(partial)


def _receive_all(
    want: DownloadSpec,
    file: BinaryIO,
    partial: Path,
    patience: RetryPolicy,
    progress: Progress | None,
) -> bool:
    """Receive until complete; true if any kept bytes were built upon. Raises UserError."""
    resumed = partial.stat().st_size > 0
    pause_s = patience.pause_s
    for attempt in range(1, patience.attempts + 1):
        try:
            _receive(want, file, partial, patience, progress)
            return resumed
        except _TransientError as error:
            resumed = resumed or partial.stat().st_size > 0
            if attempt == patience.attempts:
                raise UserError(
                    f"{want.url}: {error} ({attempt} tries); check the network and run again"
                ) from error
            time.sleep(min(pause_s, patience.pause_limit_s))
            pause_s *= 2
        except OSError as error:
            _discard(partial)
            hint = "free some space" if error.errno == errno.ENOSPC else "check the disk"
            raise UserError(
                f"{partial.parent}: {error.strerror or error} while downloading {want.url}; {hint}"
            ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _receive(
    want: DownloadSpec,
    file: BinaryIO,
    partial: Path,
    patience: RetryPolicy,
    progress: Progress | None,
) -> None:
    """One request, from the first byte missing to the end of the body."""
    have = partial.stat().st_size
    if have and have == want.size_bytes:
        return
    request = urllib.request.Request(want.url, headers=_headers(partial, have))
    try:
        response = opener().open(request, timeout=patience.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _judge_status(error, want, file, partial)
        return
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _TransientError(f"no answer: {getattr(error, 'reason', error)}") from error
    with response:
        have = _start(response, file, have)
        _remember_etag(partial, response.headers.get("ETag"))
        body_bytes = _content_length(response)
        total = None if body_bytes is None else have + body_bytes
        _require_room(partial, body_bytes)
        name = file_name(want.url)
        _copy(response, file, have, total, lambda have: progress and progress(name, have, total))


def _headers(partial: Path, have: int) -> dict[str, str]:
    headers = {"User-Agent": "ep-perf", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        etag = _etag_file(partial)
        if etag.is_file():  # a file that changed meanwhile comes whole instead of as a tail
            headers["If-Range"] = etag.read_text(encoding="utf-8")
    return headers


def _judge_status(
    error: urllib.error.HTTPError, want: DownloadSpec, file: BinaryIO, partial: Path
) -> None:
    """An error status: done after all, worth a retry, or final."""
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total.isdigit() and int(total) == partial.stat().st_size:
            return
        file.truncate(0)
        raise _TransientError("the server refused to go on from the kept bytes")
    if error.code in TRANSIENT_STATUSES:
        raise _TransientError(f"HTTP {error.code} {error.reason}")
    _discard(partial)
    raise UserError(f"{want.url}: HTTP {error.code} {error.reason}; check the link")


def _start(response: http.client.HTTPResponse, file: BinaryIO, have: int) -> int:
    """Where the body begins: behind the kept bytes (206) or at nought (200)."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        content_range = response.headers.get("Content-Range") or ""
        if content_range.startswith(f"bytes {have}-"):
            return have
        file.truncate(0)
        raise _TransientError(f"the server sent another range than asked: {content_range!r}")
    file.truncate(0)
    return 0


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    have: int,
    total: int | None,
    note: Callable[[int], object],
) -> None:
    while True:
        try:
            chunk = response.read1(CHUNK_BYTES)  # what is there: a kill then costs no more
        except http.client.IncompleteRead as error:
            _write(file, error.partial)
            raise _TransientError("the connection broke in the middle") from error
        except (http.client.HTTPException, OSError) as error:
            raise _TransientError(f"the connection broke: {error}") from error
        if not chunk:
            break
        _write(file, chunk)
        have += len(chunk)
        note(have)
    if total is not None and have < total:  # read1 does not raise IncompleteRead
        raise _TransientError(f"the server promised {total} bytes and sent {have}")


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)
    file.flush()


def _problem(want: DownloadSpec, partial: Path) -> str | None:
    """Why the received bytes are not what was wanted, as the refusal's line; None if they are."""
    size = partial.stat().st_size
    if want.size_bytes is not None and size != want.size_bytes:
        return f"{want.url}: {size} bytes came, {want.size_bytes} were expected; nothing was kept"
    if want.sha256 is None:
        return None
    found = sha256_of(partial)
    if found == want.sha256:
        return None
    return f"{want.url}: sha256 is {found}, expected {want.sha256}; nothing was kept"


def _require_room(partial: Path, body_bytes: int | None) -> None:
    free = shutil.disk_usage(partial.parent).free
    if body_bytes is not None and body_bytes > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({body_bytes} bytes needed)")


def _content_length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length")
    return int(text) if text and text.isdigit() else None


def _etag_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".etag")


def _remember_etag(partial: Path, etag: str | None) -> None:
    # A weak validator may not be used in If-Range (RFC 9110, 13.1.5).
    if etag and not etag.startswith("W/"):
        _etag_file(partial).write_text(etag, encoding="utf-8")
    else:
        _etag_file(partial).unlink(missing_ok=True)


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _etag_file(partial).unlink(missing_ok=True)
