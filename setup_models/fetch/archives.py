"""Safe unpacking of zip and tar archives: every member is judged by name, kind and size first."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from perf.conversion.errors import UserError
from perf.request.programs import install_command

SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar")
COPY_BYTES = 1 << 20
Reader = contextlib.AbstractContextManager[IO[bytes]]
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to before it counts as a decompression bomb."""

    total_bytes: int = 64 << 30
    members: int = 100_000
    ratio: int = 1_000  # unpacked size over the archive's; above it past `ratio_floor_bytes`
    ratio_floor_bytes: int = 1 << 30


@dataclass(frozen=True)
class _Member:
    """One member, whatever the container: where it goes and how its bytes are read."""

    name: str
    kind: str  # "file", "folder", or what makes it unacceptable ("link to …", "device file")
    size_bytes: int
    handle: zipfile.ZipInfo | tarfile.TarInfo


def is_archive(path: Path) -> bool:
    """Whether the name says zip, tar, tar.gz, tar.xz or tar.zst."""
    return path.name.lower().endswith(SUFFIXES)


def stem(name: str) -> str:
    """The archive's file name less its archive suffix: `bertsquad-10.tar.gz` → `bertsquad-10`."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def safe_parts(name: str) -> tuple[str, ...]:
    """The member name's path parts below the destination folder.

    Raises UserError for a name that is absolute, climbs out with `..`, holds a drive, a
    backslash, a NUL or another control character, or is empty.
    """
    if any(ord(letter) < 32 for letter in name) or "\\" in name:
        raise UserError(f"member {name!r}: control characters and backslashes are refused")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise UserError(f"member {name!r}: leads out of the folder it is unpacked into")
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise UserError(f"member {name!r}: its name is too long for a file")
    return path.parts


def unpack(archive: Path, destination: Path, limits: Limits = Limits()) -> list[Path]:
    """Unpack into `destination`, which must not exist yet; the files written, sorted.

    All or nothing: members are written beside the destination and moved into place together. A
    refusal names the archive and the offending member, and leaves nothing behind.
    """
    if destination.exists():
        raise UserError(f"{destination}: already there; remove it to unpack {archive.name} again")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=destination.parent, prefix=f".{destination.name}."
    ) as scratch:
        inside = Path(scratch) / "unpacked"
        inside.mkdir()
        try:
            _unpack_members(archive, inside, limits)
        except UserError as refusal:
            raise UserError(f"{archive}: {refusal}") from refusal
        except DAMAGE as error:
            raise UserError(
                f"{archive}: truncated or damaged ({error}); download it again"
            ) from error
        except OSError as error:
            raise UserError(f"{archive}: {error.strerror or error} while unpacking") from error
        inside.replace(destination)
    return sorted(path for path in destination.rglob("*") if path.is_file())


def _unpack_members(archive: Path, inside: Path, limits: Limits) -> None:
    written = 0
    seen: set[tuple[str, ...]] = set()
    limit = _byte_limit(archive, limits)
    with _opened(archive, limit) as container:
        for count, member in enumerate(_members(container), start=1):
            if count > limits.members:
                raise UserError(f"member {member.name!r}: more than {limits.members} members")
            parts = safe_parts(member.name)
            if member.kind not in {"file", "folder"}:
                raise UserError(f"member {member.name!r}: a {member.kind} is refused")
            if parts in seen or (member.kind == "file" and not parts):
                raise UserError(f"member {member.name!r}: is in the archive twice")
            if written + member.size_bytes > limit:
                raise UserError(_bomb(member.name, limit))
            try:
                written += _place(container, member, inside.joinpath(*parts), limit - written)
            except DAMAGE:
                raise
            except OSError as error:
                raise UserError(f"member {member.name!r}: {error.strerror or error}") from error
            if member.kind == "file":
                seen.add(parts)


def _place(
    container: zipfile.ZipFile | tarfile.TarFile, member: _Member, target: Path, room: int
) -> int:
    """Make the folder or write the file; the bytes written."""
    if member.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    return _write(container, member, target, room)


def _byte_limit(archive: Path, limits: Limits) -> int:
    by_ratio = max(limits.ratio_floor_bytes, archive.stat().st_size * limits.ratio)
    return min(limits.total_bytes, by_ratio)


def _bomb(name: str, limit: int) -> str:
    return f"member {name!r}: the archive would unpack to more than {limit} bytes, the limit"


def _write(
    container: zipfile.ZipFile | tarfile.TarFile, member: _Member, target: Path, room: int
) -> int:
    """Copy one member out, counting real bytes: a header may lie about the size."""
    written = 0
    with _stream(container, member) as source, target.open("xb") as sink:
        while chunk := source.read(COPY_BYTES):
            written += len(chunk)
            if written > room:
                raise UserError(_bomb(member.name, room))
            sink.write(chunk)
    if written != member.size_bytes:
        raise EOFError(f"member {member.name!r} has {written} of {member.size_bytes} bytes")
    return written


def _stream(container: zipfile.ZipFile | tarfile.TarFile, member: _Member) -> IO[bytes]:
    match container, member.handle:
        case zipfile.ZipFile(), zipfile.ZipInfo() as info:
            if info.flag_bits & 1:
                raise UserError(f"member {member.name!r}: is encrypted")
            try:
                return container.open(info)
            except NotImplementedError as error:
                raise UserError(f"member {member.name!r}: {error}") from error
        case tarfile.TarFile(), tarfile.TarInfo() as entry:
            stream = container.extractfile(entry)
            if stream is not None:
                return stream
    raise UserError(f"member {member.name!r}: holds no bytes to read")


def _members(container: zipfile.ZipFile | tarfile.TarFile) -> Iterator[_Member]:
    if isinstance(container, zipfile.ZipFile):
        for info in container.infolist():
            yield _Member(info.filename, _zip_kind(info), info.file_size, info)
    else:
        for entry in container:
            yield _Member(entry.name, _tar_kind(entry), entry.size, entry)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16  # Unix mode bits, 0 where another system made the archive
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "device file"
    return "folder" if info.is_dir() else "file"


def _tar_kind(entry: tarfile.TarInfo) -> str:
    if entry.isdir():
        return "folder"
    if entry.isfile():
        return "file"
    if entry.issym() or entry.islnk():
        return f"link to {entry.linkname!r}"
    return "device file"


@contextlib.contextmanager
def _opened(archive: Path, limit: int) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield zipped
    elif is_archive(archive):
        with archive.open("rb") as raw, _decompressed(raw, name) as plain:
            metered = _Metered(plain, limit)
            with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r|") as tar:
                yield tar
            while metered.read(COPY_BYTES):  # to the end, where the checksum is checked
                pass
    else:
        raise UserError(f"not an archive this reads: {', '.join(SUFFIXES)}")


class _Metered(io.RawIOBase):
    """A reader that stops a bomb hidden in tar headers, which no member's size tells of."""

    def __init__(self, plain: IO[bytes], limit: int) -> None:
        self.plain = plain
        self.left = 2 * limit  # headers and padding are at most as large again as the members

    def read(self, size: int = -1) -> bytes:
        chunk = self.plain.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise UserError("its headers alone are larger than the limit")
        return chunk


def _decompressed(raw: BinaryIO, name: str) -> Reader:
    if name.endswith((".gz", ".tgz")):
        return cast("Reader", gzip.GzipFile(fileobj=raw))
    if name.endswith((".xz", ".txz")):
        return cast("Reader", lzma.LZMAFile(raw))
    if name.endswith((".zst", ".tzst")):
        return _unzstd(raw)
    return contextlib.nullcontext(raw)


def _unzstd(raw: BinaryIO) -> Reader:
    try:
        import zstandard
    except ImportError as error:
        raise UserError(
            f"tar.zst needs the zstandard package; `{install_command('zstandard', extra=True)}` fixes it"
        ) from error
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return cast("Reader", _Zstd(reader, zstandard.ZstdError))


class _Zstd(io.RawIOBase):
    """A zstandard reader whose own errors read as damage, like those of the other formats."""

    def __init__(self, reader: IO[bytes], damage: type[Exception]) -> None:
        self.reader = reader
        self.damage = damage

    def read(self, size: int = -1) -> bytes:
        try:
            return self.reader.read(size)
        except self.damage as error:
            raise EOFError(str(error)) from error
