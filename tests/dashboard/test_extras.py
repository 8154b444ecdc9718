"""Runs posted as Parquet, and to Azure Data Explorer: its own client speaking to a fake of its service, no real one."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from perf.results import run_folder
from perf.results.run_folder import RunFolder
from tests.dashboard.test_post import SECRET, post, stored
from tests.fakes.kusto import FakeCluster, serve

STATUS = "ep_model_status_over_time"


def test_parquet_files_hold_typed_columns_and_each_run_once(tmp_path: Path) -> None:
    folder = stored(tmp_path / "result")
    board = tmp_path / "board"
    assert [post(folder, "--post", f"parquet={board}") for _ in range(2)] == [0, 0]
    (path,) = (board / STATUS).iterdir()
    table = pq.read_table(path)
    assert table.num_rows == len(run_folder.read_records(folder))
    assert set(table.column("Pass").to_pylist()) == {0.0, 1.0}
    assert str(table.schema.field("Model").type) == "string"
    assert {p.name for p in board.iterdir()} >= {"ep_model_fail", "ep_model_specs"}
    assert [p for p in board.rglob("*") if p.name.endswith(".tmp")] == []


def test_a_cluster_holds_each_run_once_and_a_changed_one_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(tmp_path / "result")
    monkeypatch.setenv("EP_PERF_POST_PASSWORD", SECRET)
    with serve(SECRET) as cluster:
        url = f"kusto://{cluster.address}/perf"
        assert post(folder, "--post", url) == 0
        once = rows_of(cluster)
        assert len(once[STATUS]) == len(run_folder.read_records(folder))
        assert {r["Pass"] for r in once[STATUS]} == {0, 1}
        assert cluster.columns[STATUS]["Pass"] == "real"
        assert "." in cluster.columns["ep_model_specs"]
        assert post(folder, "--post", url) == 0
        assert rows_of(cluster) == once
        assert post(folder, "--post", url, "--branch", "other") == 0
        assert {r["Branch"] for r in rows_of(cluster)[STATUS]} == {"other"}
        assert count(cluster) == {name: len(rows) for name, rows in once.items()}
        other = RunFolder(folder.results, "another")
        shutil.copytree(folder.root, other.root)
        assert post(other, "--post", url) == 0
        assert count(cluster)[STATUS] == 2 * len(once[STATUS])
        monkeypatch.setenv("EP_PERF_POST_URL", url)
        assert post(other, "--post") == 0
    told = "".join(capsys.readouterr())
    assert f"posted to {url} (queued" in told
    assert SECRET not in told + json.dumps(cluster.commands)


def rows_of(cluster: FakeCluster) -> dict[str, list[dict[str, object]]]:
    return {name: cluster.rows(name) for name in sorted(cluster.columns)}


def count(cluster: FakeCluster) -> dict[str, int]:
    return {name: len(rows) for name, rows in rows_of(cluster).items()}


def test_a_token_that_is_refused_is_told_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(tmp_path / "result")
    capsys.readouterr()
    with serve("another") as cluster:
        url = f"kusto://{cluster.address}/perf"
        monkeypatch.setenv("EP_PERF_POST_PASSWORD", SECRET)
        assert post(folder, "--post", url) == 2
        told = capsys.readouterr().err
        assert f"error: --post {url}: " in told
        assert SECRET not in told
        monkeypatch.delenv("EP_PERF_POST_PASSWORD")
        assert post(folder, "--post", url) == 2
        assert (
            "set EP_PERF_POST_PASSWORD to an access token, or AZURE_CLIENT_ID"
            in capsys.readouterr().err
        )


@pytest.mark.parametrize(
    "url", ["kusto://", "kusto://host", "kusto://me:pw@host/base", "kusto://h/a/b"]
)
def test_an_address_that_is_none_is_told(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert post(stored(tmp_path / "result"), "--post", url) == 2
    told = capsys.readouterr().err
    assert "error: --post: a cluster is as in kusto://" in told
    assert "me:pw" not in told
