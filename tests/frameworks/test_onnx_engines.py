"""OpenVINO by its own package and IREE: right, in the file's own names, and honest about precision."""

from pathlib import Path

import pytest
from onnx import helper

from tests import models
from tests.frameworks.workplace import Workplace, outcomes

pytestmark = pytest.mark.frameworks


def twice_named(folder: Path) -> Path:
    """An output that is an Identity of an inner tensor: OpenVINO gives its port both names."""
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("Identity", ["inner"], ["positive"]),
        helper.make_node("Neg", ["x"], ["negated"]),
    ]
    outputs = {"positive": (2, 3), "negated": (2, 3)}
    return models.write(folder, nodes, {"x": (2, 3)}, outputs, [])


@pytest.fixture
def few(workplace: Workplace) -> Workplace:
    models.linear(workplace.home / "models/linear")
    models.relu(workplace.home / "models/relu")
    twice_named(workplace.home / "twice_named")
    return workplace


def test_they_agree_with_the_stored_outputs_on_the_host_and_on_their_own_buffers(
    few: Workplace,
) -> None:
    names = ("openvino_alone", "iree")
    said = few.run("-m", "models", "-i", "zoo", "-e", *names, "-b", "both")
    assert said.status == 0, said.err
    assert len(said.cells) == 8
    assert set(outcomes(said).values()) == {"Passed"}, outcomes(said)
    for record in said.records.values():
        if record.cell.target.name == "iree":
            assert [x.created.cached for x in record.launches if x.created] == [False, True]
            assert list(Path(record.cell.cache).glob("model.vmfb"))
        versions = record.launches[0].versions
        assert record.cell.target.name == "iree" or versions["openvino"]


def test_outputs_have_the_names_of_the_file_where_an_engine_has_merged_two(few: Workplace) -> None:
    model = str(few.home / "twice_named/model.onnx")
    said = few.run("-m", model, "-e", "openvino_alone", "iree", "cpu")
    assert set(outcomes(said).values()) == {"Passed"}, outcomes(said)


def test_a_precision_that_openvino_did_not_take_is_not_attained(few: Workplace) -> None:
    said = few.run("-m", "models", "--models", "linear", "-i", "zoo", "-e", "openvino_alone_fp16")
    (row,) = said.cells.values()
    assert row["outcome"] in ("Passed", "PrecisionNotAttained"), row
    (record,) = said.records.values()
    told = record.launches[0].attested
    assert told
    assert told.regime.startswith("INFERENCE_PRECISION_HINT became ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-e", "iree", "--ep_options", "iree:driverx=x"), "no option 'driverx'; known are"),
        (("-e", "iree", "--ep_options", "iree:driver=gpu"), "use local-task or local-sync"),
        (("-e", "openvino_alone", "--ep_options", "openvino_alone:NUM_STREAM=2"), "NUM_STREAM"),
        (("-e", "torch"), "name one as 'torch' in its row of a model list"),
    ],
)
def test_what_they_do_not_know_is_declined_in_one_line(
    few: Workplace, words: tuple[str, ...], says: str
) -> None:
    said = few.run("-m", "models", "--models", "relu", "-i", "zoo", *words)
    (row,) = said.cells.values()
    assert row["outcome"] == "Skipped", row
    assert says in str(row["detail"])
