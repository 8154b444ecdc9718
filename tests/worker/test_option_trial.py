"""A name that an engine's libraries do not hold is wrong only where one that they hold is meant."""

from pathlib import Path

import pytest

from perf.worker.option_trial import find_absent, find_engine

HELD = b"\x7fELF\0session.disable_prepacking\0noise\0num_threads\0fast_modefast_math\0session.save_model_format\0"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("num_threads", {}),
        ("num_thread", {"num_thread": "num_threads"}),
        ("session.disable_prepackin", {"session.disable_prepackin": "session.disable_prepacking"}),
        (
            "session.disable_prepakcing",
            {"session.disable_prepakcing": "session.disable_prepacking"},
        ),
        ("fast_mode", {}),  # run together with the next, as Rust keeps its strings
        (
            "session.load_model_format",
            {"session.load_model_format": ""},
        ),  # real, and kept in pieces
        ("entirely_else", {"entirely_else": ""}),
    ],
)
def test_a_typo_is_told_from_a_name_that_cannot_be_judged(
    tmp_path: Path, name: str, told: dict[str, str]
) -> None:
    (tmp_path / "other.so").write_bytes(b"\x7fELF\0nothing of use\0")
    (tmp_path / "engine.so").write_bytes(HELD)
    assert find_absent([name], [tmp_path / "other.so", tmp_path / "engine.so"]) == told


def test_the_engine_of_this_environment_holds_the_entries_that_it_documents() -> None:
    documented = ["session.disable_prepacking", "session.intra_op.allow_spinning"]
    assert find_absent(documented, find_engine()) == {}
