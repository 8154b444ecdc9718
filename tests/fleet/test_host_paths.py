"""One plan on two hosts whose files lie elsewhere: what flags name is found on both, and merges."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from perf.fleet.merge import merge_runs
from perf.planning.shards import assign_models
from perf.request.host_paths import as_given, map_paths, read_at
from perf.request.options import parse
from perf.schema.record import Passed
from tests import models
from tests.asking import CURRENT, QUICK, ask

NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    for name in NAMES:
        models.linear(folder / "models" / name)
    np.savez(folder / "own.npz", x=np.ones((1, 8), np.float32))
    (folder / "known.toml").write_text("")
    (folder / "environments.toml").write_text(CURRENT, encoding="utf-8")
    return folder


def test_shards_of_two_hosts_read_their_own_copy_of_what_flags_name_and_merge(home: Path) -> None:
    there = home.with_name("there")
    shutil.copytree(home, there)
    words = ("--inputs", str(home / "own.npz"), "--expected", str(home / "known.toml"))
    shared = (*QUICK, *words, "--run_id", "r", "--host_canary", "0")
    first = ask(home, *shared, "--shard", "1/2")
    home.rename(home.with_name("gone"))
    mapped = ("--map_path", f"{home}={there}")
    second = ask(there, *shared, "--shard", "2/2", *mapped, "-m", str(home / "models"))
    assert (first.status, second.status) == (0, 0), first.err + second.err
    here = home.with_name("gone") / "result"
    done = merge_runs((here, there / "result"), "r", home.with_name("merged"))
    assert (done.complete, done.merged.missing) == (True, 0)
    assert {r.outcome for r in second.records.values()} == {Passed()}
    ran = {r.cell.model.name for r in second.records.values()}
    assert ran == set(assign_models(sorted(NAMES), 2)[1])


def test_paths_of_a_request_are_mapped_and_told_as_they_were_given() -> None:
    given = parse(["--map_path", "/a=/b", "--custom_ops", "/a/ops.so", "/c/ops.so", "--keep_cache", "/a/kept",
                   "--env", "x=/a/bin/python", "--plugin", "y=/a/ep.so:Ep"])  # fmt: skip
    here = map_paths(given)
    assert here.custom_ops == ("/b/ops.so", "/c/ops.so")
    assert (here.keep_cache, here.inputs) == ("/b/kept", "")
    assert (here.env, here.plugin) == ({"x": "/b/bin/python"}, {"y": "/b/ep.so:Ep"})
    assert as_given(here.custom_ops, here) == given.custom_ops
    assert read_at("/abc", given.map_path) == "/abc"
