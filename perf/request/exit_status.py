"""What every program's exit status means, and the table of it that help and README show."""

import signal

OK, SOMETHING_WRONG, CANNOT_SERVE, BUG = 0, 1, 2, 3
MEANINGS = (
    (str(OK), "done; nothing of --fail_on happened"),
    (str(SOMETHING_WRONG), "something of --fail_on happened; or a target named by hand cannot run here"),
    (str(CANNOT_SERVE), "the request cannot be served (also: a lock held, a disk error, nothing measurable, "
                        "failed set-up): one line says what, where, and what to do"),
    (str(BUG), "a bug of ours, with what to report"),
    (f"{128 + signal.SIGINT}, {128 + signal.SIGTERM}", "ended by SIGINT, SIGTERM"),
)  # fmt: skip


def format_exit_statuses() -> str:
    """The table as lines of help."""
    return "exit status:\n" + "".join(f"  {status:<9} {meaning}\n" for status, meaning in MEANINGS)
