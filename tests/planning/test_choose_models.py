"""Which models a run reads: those of --models and of its shard, at the paths that this host has them."""

import json
from pathlib import Path

import pytest

from perf.planning.choose_models import choose_models
from perf.planning.shards import assign_models
from perf.request.host_paths import read_at
from perf.request.options import BadRequestError, parse
from tests import models

NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with absolute paths, as a shared file system's is."""
    rows = []
    for name in NAMES:
        folder = models.identity(tmp_path / "data" / name)
        rows.append(
            {"model_name": name, "working_directory": str(folder), "model_path": "model.onnx",
             "test_data_path": "."}
        )  # fmt: skip
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    return path


def chosen(listed: Path, *words: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = choose_models(parse(("-m", str(listed), *words)))
    assert all(m.sha256 and not m.problem for m in found.models)
    return tuple(m.name for m in found.models), found.names


def test_shards_share_the_models_out_and_know_them_all(listed: Path) -> None:
    parts = [chosen(listed, "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [mine for mine, _ in parts] == list(assign_models(NAMES, 3))
    assert all(names == NAMES for _, names in parts)


def test_a_shard_reads_the_files_of_its_own_models_alone(listed: Path) -> None:
    mine, others = assign_models(NAMES, 2)
    for name in others:  # a digest of these would be of other files than the list says
        (listed.parent / "data" / name / "model.onnx").unlink()
    assert chosen(listed, "--shard", "1/2")[0] == mine


def test_patterns_choose_before_shards_do(listed: Path) -> None:
    words = ("--models", "alpha", "*ta")
    assert chosen(listed, *words)[1] == ("alpha", "beta", "delta")
    parts = [chosen(listed, *words, "--shard", f"{i}/2")[0] for i in (1, 2)]
    assert parts == list(assign_models(("alpha", "beta", "delta"), 2))


def test_a_pattern_that_matches_nothing_is_told_in_every_shard(listed: Path) -> None:
    for i in (1, 2):
        with pytest.raises(BadRequestError, match="'epsilon' matches none of"):
            chosen(listed, "--models", "epsilon", "--shard", f"{i}/2")


def test_costs_of_an_earlier_run_balance_shards(listed: Path, tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"alpha": 8, "beta": 5.0, "gamma": 4, "delta": 3}))
    parts = [chosen(listed, "--shard", f"{i}/2", "--shard_costs", str(costs))[0] for i in (1, 2)]
    assert parts == [("alpha", "delta"), ("beta", "gamma")]


@pytest.mark.parametrize("text", ["[]", "{", '{"alpha": -1}', '{"alpha": "x"}', '{"alpha": NaN}'])
def test_costs_that_are_none_are_one_line(listed: Path, tmp_path: Path, text: str) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(text)
    with pytest.raises(BadRequestError, match="expected a JSON object"):
        chosen(listed, "--shard", "1/2", "--shard_costs", str(costs))


def test_costs_of_a_run_that_is_not_there_are_one_line(listed: Path, tmp_path: Path) -> None:
    words = ("--shard", "1/2", "--shard_costs", "yesterday", "-o", str(tmp_path / "result"))
    with pytest.raises(BadRequestError, match="yesterday: no such file, folder, run id"):
        chosen(listed, *words)


def test_a_list_made_on_one_host_is_read_at_the_paths_of_another(listed: Path) -> None:
    here = listed.parent / "data"
    here.rename(listed.parent / "elsewhere")
    found = choose_models(
        parse(("-m", str(listed), "--map_path", f"{here}={listed.parent / 'elsewhere'}"))
    )
    assert all(m.path.startswith(str(listed.parent / "elsewhere")) for m in found.models)
    assert all(m.sha256 and not m.problem for m in found.models)


def test_a_path_is_mapped_by_its_longest_beginning_and_by_whole_names_only() -> None:
    mapped = {"/data": "/mnt", "/data/zoo/": "/zoo"}
    assert read_at("/data/a", mapped) == "/mnt/a"
    assert read_at("/data/zoo/a", mapped) == "/zoo/a"
    assert read_at("/database/a", mapped) == "/database/a"
    assert read_at("/data", mapped) == "/mnt"
    assert read_at("data/a", mapped) == "data/a"


@pytest.mark.parametrize("given", ["/a", "=/b", "/a="])
def test_a_mapping_that_is_none_is_one_line(given: str) -> None:
    with pytest.raises(BadRequestError, match="is not OLD=NEW"):
        parse(["--map_path", given])
