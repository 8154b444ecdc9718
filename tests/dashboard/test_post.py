"""Runs posted as the predecessor posted them: to a folder, to SQLite, and to a real PostgreSQL of Debian's."""

import csv
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from perf.cli import report
from perf.dashboard.dashboard_tables import Provenance, make_tables
from perf.report.finished_run import FinishedRun
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.record import Skipped
from tests.page import made_runs
from tests.page.made_runs import run_of

PROVENANCE = Provenance("zoo", "main", "0123abcdef", "2026-11-29", "https://example/report")
SECRET = "s3cret-of-the-test"


def run() -> FinishedRun:
    skipped = made_runs.failed(made_runs.cell("gone"), Skipped("no device"))
    return run_of([*made_runs.many_cells(2, fail_every=5), skipped, *made_runs.hostile()])


def rows_of(name: str) -> list[dict[str, object]]:
    (table,) = (t for t in make_tables(run(), PROVENANCE) if t.name == f"ep_model_{name}")
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_tables_have_the_predecessors_names_and_columns() -> None:
    found = {t.name.removeprefix("ep_model_"): t.columns for t in make_tables(run(), PROVENANCE)}
    assert set(found) == {
        "fail", "latency", "latency_over_time", "memory", "memory_over_time", "status", "status_over_time",
        "specs", "session", "session_over_time", "op_metrics",
    }  # fmt: skip
    stamps = ("UploadTime", "Identifier", "Branch", "CommitId", "CommitDate")
    assert {columns[:5] for columns in found.values()} == {stamps}
    assert found["fail"][5:10] == ("Model", "Ep", "ErrorType", "ErrorMessage", "Group")
    assert found["latency_over_time"][5:10] == ("Model", "Group", "Ep", "Latency", "ReportUrl")
    assert found["latency"][5:8] == ("Model", "ORT-CPUFp32", "ORT-CUDAFp32")
    assert {columns[-1] for columns in found.values()} == {"RunId"}


def test_what_was_not_run_is_no_failure() -> None:
    (gone,) = (r for r in rows_of("status_over_time") if r["Model"] == "gone")
    assert (gone["Pass"], gone["Status"], gone["Ep"]) == (None, "Skipped", "ORT-CPUFp32")
    assert {r["Pass"] for r in rows_of("status_over_time")} == {0, 1, None}
    assert "gone" not in {r["Model"] for r in rows_of("fail")}


def stored(results: Path) -> RunFolder:
    return made_runs.stored(
        results, [*made_runs.many_cells(2, fail_every=5), *made_runs.hostile()]
    )


def post(folder: RunFolder, *words: str) -> int:
    return report.main([str(folder.root), "--no_page", "--commit", "0123abc", *words])


def test_a_folder_holds_each_run_once(tmp_path: Path) -> None:
    folder = stored(tmp_path / "result")
    assert post(folder, "--post", str(tmp_path / "board")) == 0
    first = {p: p.read_bytes() for p in (tmp_path / "board").rglob("*.csv")}
    assert len(first) == 11
    assert post(folder, "--post", str(tmp_path / "board")) == 0
    assert {p: p.read_bytes() for p in (tmp_path / "board").rglob("*.csv")} == first
    assert not (folder.root / f"report_{folder.run_id}.html").exists()
    path = tmp_path / "board" / "ep_model_latency_over_time" / f"{folder.run_id}.csv"
    with path.open(encoding="utf-8", newline="") as f:
        told = list(csv.DictReader(f))
    assert told[0]["CommitId"] == "0123abc"
    assert told[0]["Group"] == "result"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the tests' own, run by a user that may not be root, on a free port of this machine alone."""
    home = Path("/tmp") / f"ep-perf-postgres-{os.getpid()}"  # a socket's path is short
    home.mkdir(mode=0o755)
    account = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    os.chown(home, account.pw_uid, account.pw_gid)
    who = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        if os.getuid() == 0
        else {}
    )
    secret = home / "password"
    secret.write_text(SECRET)
    os.chown(secret, account.pw_uid, account.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (programs,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    data = home / "data"
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "board", "-A", "scram-sha-256", "-E", "UTF8",
              f"--pwfile={secret}", "--no-sync"]  # fmt: skip
    serve = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(home), "-c",
             "listen_addresses=127.0.0.1", "-c", "fsync=off"]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home}
    subprocess.run(initdb, check=True, **quiet, **who)  # type: ignore[call-overload]
    server = subprocess.Popen(serve, **quiet, **who)  # type: ignore[call-overload]
    try:
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            time.sleep(0.05)
        yield f"postgresql+psycopg://board@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(timeout=30)
        shutil.rmtree(home)


def count(url: str, password: str = "") -> dict[str, int]:
    engine = sql.create_engine(sql.make_url(url).set(password=password or None))
    with engine.connect() as connection:
        names = sql.inspect(engine).get_table_names()
        found = {n: connection.scalar(sql.text(f'SELECT count(*) FROM "{n}"')) or 0 for n in names}
    engine.dispose()
    return found


@pytest.mark.needs("psql", "postgresql")
def test_posting_to_postgresql_twice_changes_nothing_and_two_runs_add_up(
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EP_PERF_POST_PASSWORD", SECRET)
    folder = stored(tmp_path / "result")
    assert post(folder, "--post", postgres) == 0
    once = count(postgres, SECRET)
    assert once["ep_model_status_over_time"] == len(run_folder.read_records(folder))
    assert post(folder, "--post", postgres) == 0
    assert count(postgres, SECRET) == once
    other = RunFolder(folder.results, "another")
    shutil.copytree(folder.root, other.root)
    assert post(other, "--post", postgres) == 0
    assert {n: 2 * c for n, c in once.items()} == count(postgres, SECRET)
    assert SECRET not in "".join(capsys.readouterr())


def test_no_password_is_told_and_none_stands_on_a_command_line(
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stored(tmp_path / "result")
    monkeypatch.setenv("EP_PERF_POST_PASSWORD", "wrong-one")
    assert post(folder, "--post", postgres) == 2
    told = capsys.readouterr().err
    assert "password authentication failed" in told
    assert "wrong-one" not in told
    assert post(folder, "--post", postgres.replace("board@", f"board:{SECRET}@")) == 2
    told = capsys.readouterr().err
    assert "no place for a password" in told
    assert SECRET not in told
    monkeypatch.delenv("EP_PERF_POST_PASSWORD")
    monkeypatch.setenv("EP_PERF_POST_URL", postgres.replace("board@", f"board:{SECRET}@"))
    assert post(folder, "--post") == 0
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "url", ["nodatabase://x", "postgresql+psycopg://board@127.0.0.1:1/none", ""]
)
def test_what_cannot_be_posted_to_is_one_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(tmp_path / "result")
    capsys.readouterr()
    assert post(folder, "--post", url) == 2
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: --post")


def test_any_database_by_its_url(tmp_path: Path) -> None:
    folder = stored(tmp_path / "result")
    url = f"sqlite:///{tmp_path / 'board.sqlite'}"
    assert [post(folder, "--post", url) for _ in range(2)] == [0, 0]
    assert count(url)["ep_model_specs"] == 3
