"""Which addresses may be downloaded from, and how a line of links.txt is read."""

from __future__ import annotations

import http.client
import urllib.parse
import urllib.request
from pathlib import Path

from perf.conversion.errors import UserError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def require_safe(url: str) -> None:
    """Refuse what is neither https nor on this machine, where http carries the tests."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS:
        return
    raise UserError(f"{url}: only https:// links, file:// links and plain paths are accepted")


def opener() -> urllib.request.OpenerDirector:
    """An opener that follows redirects to safe addresses only."""
    return urllib.request.build_opener(_SafeRedirects)


def file_name(url: str) -> str:
    """The name a download of `url` is stored under; refuses an address without one."""
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if name in {"", ".", ".."} or "\0" in name:
        raise UserError(f"{url}: names no file; give the archive's own link")
    return name


def local_path(link: str, base: Path) -> Path | None:
    """The path that a `file://` link or a plain path means (relative to `base`); None for URLs."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise UserError(f"{link}: a file:// link names a file of this machine: file:///…")
        return Path(urllib.parse.unquote(parts.path))
    return None if parts.scheme else base / link


def read_links(path: Path) -> list[str]:
    """The links in a text file, one a line; blank lines and `#` comments are skipped."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; write one link a line into it") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
