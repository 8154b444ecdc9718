"""Verified download of one file: resumed by byte range, retried, checked by its sha256."""

import contextlib
import errno
import os
import shutil
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import httpx2
from tqdm import tqdm

from perf.conversion.errors import UserError
from perf.request.model_file import digest_file
from perf.schema.file_lock import LockTaken, lock_descriptor
from setup_models.fetch.zoo import file_name, require_safe

REDIRECTS = 10
WHOLE, PART, NO_SUCH_PART = 200, 206, 416  # HTTP statuses
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


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


class _TransientError(Exception):
    """Worth another try: a range that was not kept to, a busy server."""


def fetch(spec: DownloadSpec, destination: Path, policy: RetryPolicy = RetryPolicy()) -> str:
    """Bring a file to `destination`, whole and verified; its sha256. Else UserError, and no file there.

    Unfinished bytes are kept in `<destination>.part`, so that the same call goes on where it stopped;
    a wrong digest or a full disk removes them. On a terminal a bar shows how far it is.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if spec.sha256 and destination.is_file() and digest_file(destination) == spec.sha256:
        return spec.sha256
    partial = destination.with_name(destination.name + ".part")
    try:
        client = httpx2.Client(timeout=policy.timeout_s)
        with client, partial.open("ab", buffering=0) as file:  # a kill costs what comes next alone
            lock_descriptor(file.fileno(), partial, wait=False)
            try:
                sha256 = _Download(spec, policy, client, file, partial).run()
                partial.replace(destination)
            except OSError:
                file.truncate(0)
                raise
            finally:
                if _size(file) == 0:
                    partial.unlink(missing_ok=True)
    except LockTaken as error:
        raise UserError(f"{partial}: another process is downloading this file") from error
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else "check the disk"
        why = f"{error.strerror or error} while downloading {spec.url}"
        raise UserError(f"{partial.parent}: {why}; {hint}") from error
    return sha256


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


@dataclass
class _Download:
    """One download under way: its partial file is open for appending, and locked."""

    spec: DownloadSpec
    policy: RetryPolicy
    client: httpx2.Client
    file: FileIO
    partial: Path
    etag: str = ""  # of what this download has received so far

    def run(self) -> str:
        """Receive until complete, verify, and return the sha256; raises UserError, OSError."""
        for last in (False, True):
            resumed = self._receive_all()
            size, sha256 = _size(self.file), digest_file(self.partial)
            if self.spec.size_bytes not in {None, size}:
                problem = f"{size} bytes came, {self.spec.size_bytes} were expected"
            elif self.spec.sha256 not in {None, sha256}:
                problem = f"sha256 is {sha256}, expected {self.spec.sha256}"
            else:
                return sha256
            self.file.truncate(0)
            if last or not resumed:  # else the kept bytes may be of another file: from nothing
                break
        raise UserError(f"{self.spec.url}: {problem}; nothing was kept")

    def _receive_all(self) -> bool:
        """Receive until complete; true if any kept bytes were built upon. Raises UserError, OSError."""
        resumed, failure = False, ""
        for attempt in range(self.policy.attempts):
            if attempt:
                time.sleep(
                    min(self.policy.pause_s * 2 ** (attempt - 1), self.policy.pause_limit_s)
                )
            if not self.spec.sha256 and not self.etag:  # nothing would tell another file's tail
                self.file.truncate(0)
            resumed = resumed or _size(self.file) > 0
            try:
                self._receive(_size(self.file))
                return resumed
            except (_TransientError, httpx2.TransportError) as error:
                failure = f"{error} ({attempt + 1} tries); check the network and run again"
        raise UserError(f"{self.spec.url}: {failure}")

    def _receive(self, have: int) -> None:
        """One request, from byte `have` to the end of the body."""
        if have and have == self.spec.size_bytes:
            return
        with contextlib.closing(self._respond(have)) as response:
            status, headers = response.status_code, response.headers
            content_range = headers.get("Content-Range", "")
            if status == NO_SUCH_PART and content_range == f"bytes */{have}":
                return  # it is all here
            if status in TRANSIENT:
                raise _TransientError(f"HTTP {status} {response.reason_phrase}")
            if status != PART or not content_range.startswith(f"bytes {have}-"):
                have = 0
                self.file.truncate(0)
                if status in {PART, NO_SUCH_PART}:
                    raise _TransientError(f"another range came than asked for: {content_range!r}")
                if status != WHOLE:
                    what = f"HTTP {status} {response.reason_phrase}"
                    raise UserError(f"{self.spec.url}: {what}; check the link")
            etag = headers.get("ETag", "")
            self.etag = "" if etag.startswith("W/") else etag  # RFC 9110, 13.1.5
            length = headers.get("Content-Length", "")
            self._save(response, have, int(length) if length.isdigit() else None)

    def _respond(self, have: int) -> httpx2.Response:
        """The answer to a request from byte `have` on, its body unread; only safe addresses are asked."""
        headers = {"User-Agent": "ep-perf", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.etag:  # a file that changed comes whole instead of as a tail
                headers["If-Range"] = self.etag
        try:
            request = self.client.build_request("GET", self.spec.url, headers=headers)
        except httpx2.InvalidURL as error:
            raise UserError(f"{self.spec.url}: {error}") from error
        for _ in range(REDIRECTS):
            require_safe(str(request.url))
            response = self.client.send(request, stream=True)
            if response.next_request is None:
                return response
            response.close()
            request = response.next_request
        raise UserError(f"{self.spec.url}: more than {REDIRECTS} redirects; check the link")

    def _save(self, response: httpx2.Response, have: int, body_bytes: int | None) -> None:
        """Append the body as it comes; no more than a chunk beyond the size that is expected."""
        if (body_bytes or 0) > shutil.disk_usage(self.partial.parent).free:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({body_bytes} bytes needed)")
        name, total = file_name(self.spec.url), body_bytes and have + body_bytes
        shown = {"unit": "B", "unit_scale": True, "disable": None}  # None: on a terminal alone
        with tqdm(desc=name, initial=have, total=total, **shown) as bar:
            for chunk in response.iter_raw():
                have += len(chunk)
                bar.update(len(chunk))
                while chunk:
                    chunk = chunk[self.file.write(chunk) :]
                if self.spec.size_bytes is not None and have > self.spec.size_bytes:
                    return
