import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perf.conversion.errors import UserError
from setup_models.fetch import archives
from setup_models.fetch.archives import Limits, safe_parts, unpack

FILES = {
    "net/model.onnx": b"model" * 1000,
    "net/test_data_set_0/input_0.pb": b"\x08\x01",
    "r.md": b"",
}


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in files.items():
            zipped.writestr(name, body)


def write_tar(mode: str) -> Callable[[Path, Mapping[str, bytes]], None]:
    def write(path: Path, files: Mapping[str, bytes]) -> None:
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name, body in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                tar.addfile(entry, io.BytesIO(body))

    return write


KINDS = [
    (".zip", write_zip),
    (".tar", write_tar("w")),
    (".tar.gz", write_tar("w:gz")),
    (".tgz", write_tar("w:gz")),
    (".tar.xz", write_tar("w:xz")),
]


@pytest.mark.parametrize(("suffix", "write"), KINDS)
def test_every_kind_unpacks_to_the_bytes_that_went_in(
    suffix: str, write: Callable[[Path, Mapping[str, bytes]], None], tmp_path: Path
) -> None:
    archive = tmp_path / f"nets{suffix}"
    write(archive, FILES)
    written = unpack(archive, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in written}
    assert found == FILES
    assert archives.stem(archive.name) == "nets"


@pytest.mark.parametrize(("suffix", "write"), KINDS)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_a_truncated_archive_is_refused_whole(
    suffix: str,
    write: Callable[[Path, Mapping[str, bytes]], None],
    kept: float,
    tmp_path: Path,
) -> None:
    archive = tmp_path / f"nets{suffix}"
    write(archive, {"a.onnx": os.urandom(200_000), "b.pb": os.urandom(50_000)})
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * kept)])
    with pytest.raises(UserError, match="truncated or damaged"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    archive = tmp_path / "nets.tar.gz"
    write_tar("w:gz")(archive, {"a.onnx": os.urandom(100_000)})
    body = bytearray(archive.read_bytes())
    body[60_000] ^= 1
    archive.write_bytes(body)
    with pytest.raises(UserError, match="truncated or damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../out.onnx", "/etc/x.onnx", "a/../../b", "c:\\x", "C:/x", "a\x00b", "a\nb"]
)
@pytest.mark.parametrize(
    ("suffix", "write"), [(".zip", write_zip), (".tar.gz", write_tar("w:gz"))]
)
def test_a_member_that_leads_out_is_refused_by_name(
    name: str,
    suffix: str,
    write: Callable[[Path, Mapping[str, bytes]], None],
    tmp_path: Path,
) -> None:
    archive = tmp_path / "in" / f"evil{suffix}"
    archive.parent.mkdir()
    write(archive, {"good.onnx": b"x", name: b"x"})
    if "\x00" in name:  # both formats end a name there: what is left of it is harmless
        assert [path.name for path in unpack(archive, tmp_path / "out")] == ["a", "good.onnx"]
        return
    with pytest.raises(UserError, match="member ") as refusal:
        unpack(archive, tmp_path / "in" / "out")
    assert repr(name) in str(refusal.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", archive.name]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "link to '/etc/passwd'"),
        (tarfile.CHRTYPE, "device file"),
        (tarfile.BLKTYPE, "device file"),
        (tarfile.FIFOTYPE, "device file"),
    ],
)
def test_links_and_devices_are_refused_by_name(kind: bytes, words: str, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        entry = tarfile.TarInfo("nets/bait")
        entry.type = kind
        entry.linkname = "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(UserError, match=f"member 'nets/bait': a {words} is refused"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused_by_name(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    entry = zipfile.ZipInfo("bait")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="member 'bait': a symbolic link is refused"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("suffix", "write"), [(".zip", write_zip), (".tar.xz", write_tar("w:xz"))]
)
def test_a_bomb_is_refused_by_name_and_limit(
    suffix: str, write: Callable[[Path, Mapping[str, bytes]], None], tmp_path: Path
) -> None:
    archive = tmp_path / f"bomb{suffix}"
    write(archive, {"small": b"x", "zeros": bytes(5_000_000)})
    with pytest.raises(UserError, match=r"member 'zeros': .*more than 1000000 bytes"):
        unpack(archive, tmp_path / "out", Limits(total_bytes=1_000_000))
    with pytest.raises(UserError, match="member 'zeros'"):
        unpack(archive, tmp_path / "out", Limits(ratio=10, ratio_floor_bytes=1000))
    assert not (tmp_path / "out").exists()


def test_a_zip_that_lies_about_a_members_size_is_caught_while_writing(tmp_path: Path) -> None:
    archive = tmp_path / "liar.zip"
    write_zip(archive, {"zeros": bytes(3_000_000)})
    body = archive.read_bytes()
    lie = body.replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lie != body
    archive.write_bytes(lie)
    with pytest.raises(UserError, match=r"liar.zip: (truncated or damaged|member 'zeros')"):
        unpack(archive, tmp_path / "out", Limits(total_bytes=1_000_000))
    assert not (tmp_path / "out").exists()


def test_a_bomb_in_tar_headers_is_stopped(tmp_path: Path) -> None:
    archive = tmp_path / "pax.tar.xz"
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"comment": "x" * 4_000_000}
    with lzma.open(archive, "wb") as packed:
        packed.write(entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    with pytest.raises(UserError, match="headers alone are larger"):
        unpack(archive, tmp_path / "out", Limits(total_bytes=1_000_000))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "many.tar"
    write_tar("w")(archive, {f"f{number}": b"" for number in range(50)})
    with pytest.raises(UserError, match="member 'f40': more than 40 members"):
        unpack(archive, tmp_path / "out", Limits(members=40))


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "twice.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for body in (b"one", b"two"):
            entry = tarfile.TarInfo("m.onnx")
            entry.size = 3
            tar.addfile(entry, io.BytesIO(body))
    with pytest.raises(UserError, match=r"member 'm\.onnx': is in the archive twice"):
        unpack(archive, tmp_path / "out")


def test_a_file_that_is_also_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    archive = tmp_path / "odd.tar"
    write_tar("w")(archive, {"a": b"x", "a/b": b"x"})
    with pytest.raises(UserError, match="member 'a/b': "):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for name, body in (("x.zip", b"not a zip"), ("x.tar.gz", b"not gzip"), ("x.rar", b"Rar!")):
        (tmp_path / name).write_bytes(body)
        with pytest.raises(UserError, match=name):
            unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="already there"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "a", "", "c:", "~"])).map("/".join)
)
@example("a/../b")
@example("//x")
@example("....//....//x")
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    root = PurePosixPath("/safe/root")
    try:
        parts = safe_parts(name)
    except UserError:
        return
    lexical = os.path.normpath(root.joinpath(*parts))
    assert lexical == str(root) or lexical.startswith("/safe/root/")
    assert ".." not in parts
    assert not any(part.startswith("/") for part in parts)


@given(
    st.dictionaries(
        st.lists(st.text("abc.~ é漢", min_size=1, max_size=5), min_size=1, max_size=3).map(
            "/".join
        ),
        st.binary(max_size=50),
        max_size=5,
    ),
    st.sampled_from(["zip", "tar.gz"]),
)
def test_an_archive_unpacks_whole_or_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("hyp")
    archive = folder / f"a.{suffix}"
    (write_zip if suffix == "zip" else write_tar("w:gz"))(archive, files)
    try:
        written = unpack(archive, folder / "out")
    except UserError:
        assert [path.name for path in folder.iterdir()] == [archive.name]
        return
    bodies = sorted(path.read_bytes() for path in written)
    assert bodies == sorted(files.values())
    assert all(path.resolve().is_relative_to(folder / "out") for path in written)


def test_tar_zst_unpacks_or_says_what_it_needs(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tar"
    write_tar("w")(plain, FILES)
    archive = tmp_path / "nets.tar.zst"
    try:
        import zstandard
    except ImportError:
        archive.write_bytes(b"\x28\xb5\x2f\xfd")
        with pytest.raises(UserError, match=r"zstandard.*perf\.sh --setup=dev"):
            unpack(archive, tmp_path / "out")
        return
    packed = zstandard.ZstdCompressor().compress(plain.read_bytes())
    archive.write_bytes(packed)
    assert len(unpack(archive, tmp_path / "out")) == len(FILES)
    archive.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match="truncated or damaged"):
        unpack(archive, tmp_path / "half")
