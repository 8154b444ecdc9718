"""One line on stderr and a status for every way in which a request cannot be served."""

import errno

import pytest

from perf.cli.exit_codes import run_and_report
from perf.machine.machine_lock import LockHeld
from perf.planning.targets import NothingMeasurableError
from perf.request.environments import EnvironmentsError
from perf.request.model_list import ModelListError
from perf.request.options import BadRequestError


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BadRequestError("no such flag"), 2, "error: no such flag\n"),
        (ModelListError("no such list"), 2, "error: no such list\n"),
        (EnvironmentsError("no such file"), 2, "error: no such file\n"),
        (NothingMeasurableError("nothing runs"), 2, "error: nothing runs\n"),
        (LockHeld("held"), 2, "error: held\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 2, "error: /x: No space left on device\n"),
        (BadRequestError("a\nname \x1b[31mred"), 2, "error: a\\nname \\x1b[31mred\n"),
        (KeyboardInterrupt(), 130, "error: interrupted before anything ran\n"),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_each_error_has_its_status_and_its_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    def work() -> int:
        raise error

    assert run_and_report(work) == status
    assert capsys.readouterr().err == line


def test_a_bug_of_ours_is_status_3_with_its_stack_and_a_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_and_report(lambda: 1 // 0) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: internal: ZeroDivisionError: ")


def test_a_status_is_handed_on() -> None:
    assert run_and_report(lambda: 1) == 1
