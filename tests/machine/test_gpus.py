"""Which GPUs a process sees, by CUDA's own reading of CUDA_VISIBLE_DEVICES."""

import pytest

from perf.machine.gpus import Gpu, choose_gpus, variables_for, visible_gpus

A, B = (
    Gpu(i, f"GPU-{c * 8}-0000", "Imaginary 100", 81920.0, "580.1", "13.0", 700.0)
    for i, c in enumerate("ab")
)


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        (None, (A, B)),
        ("", ()),
        ("-1", ()),
        ("1,0", (B, A)),
        (" 1 ", (B,)),
        ("1,7,0", (B,)),  # the first that is not there ends the list
        ("1,1,0", (B,)),
        ("GPU-bbbb", (B,)),
        ("GPU-", ()),  # ambiguous: names no one device
        (f"{A.uuid},{B.uuid}", (A, B)),
    ],
)
def test_visible(setting: str | None, seen: tuple[Gpu, ...]) -> None:
    assert visible_gpus((A, B), setting) == seen


def test_chosen_by_position_among_the_visible_ones() -> None:
    assert choose_gpus((B, A), "0") == (B,)
    assert choose_gpus((A, B), "1,0") == (B, A)
    assert choose_gpus((A, B), "") == (A, B)
    assert choose_gpus((A, B), "GPU-aaaa") == (A,)
    with pytest.raises(ValueError, match="no one device is '2'; visible: 0=Imaginary 100"):
        choose_gpus((A, B), "2")
    with pytest.raises(ValueError, match="named twice"):
        choose_gpus((A, B), "0,GPU-aaaa")
    with pytest.raises(ValueError, match="visible: none"):
        choose_gpus((), "0")


def test_alone_names_the_device_by_uuid_which_no_ordering_changes() -> None:
    assert variables_for(B)["CUDA_VISIBLE_DEVICES"] == B.uuid
