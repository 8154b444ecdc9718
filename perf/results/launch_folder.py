"""A launch's folder, held open from before it: what its worker left there is read and not believed."""

import contextlib
import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from perf.schema import codec, journal
from perf.schema.journal import Event, Stage
from perf.schema.record import Launch
from perf.schema.untrusted_file import file_version, open_regular, read_regular
from perf.schema.untrusted_tree import remove_tree
from perf.schema.version import stamp

JOURNAL, LOG, LAUNCH, TMP = "journal.jsonl", "output.log", "launch.json", "tmp"
DAMAGED = "its own folder was damaged"
JOURNAL_LIMIT = 4 << 20  # bytes
LOG_LIMIT = 64 << 20
LOG_END = 1 << 20  # of a longer log, what is kept when its launch has ended


@dataclass(frozen=True)
class JournalRead:
    """A worker's account as far as it is believed."""

    events: tuple[Event, ...]
    cut: str = ""  # why what follows was left unread; "" where nothing follows
    problem: str = ""  # why what lies there is no account


class LaunchFolder:
    """Files of one launch by their names in a folder that cannot be exchanged for another.

    `job` is a file that the launch is given and that the next one needs as it is.
    """

    def __init__(self, path: Path, job: Path) -> None:
        self.path = path
        self._job, self._job_was = job, file_version(job)
        path.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        made = os.fstat(self._fd)
        self._id = made.st_dev, made.st_ino
        self._seen, self._torn = 0, b""
        self._stage: tuple[Stage, float | None] = Stage.START, None

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    def read_journal(self) -> JournalRead:
        """The events that can be believed: whole lines, known, in bounds of size and number."""
        try:
            text = read_regular(JOURNAL, JOURNAL_LIMIT, self._fd)
        except FileNotFoundError:
            return JournalRead(())
        except OSError as e:
            return JournalRead((), problem=f"{DAMAGED}: {JOURNAL}: {e.strerror}")
        events = journal.parse_journal(text[:JOURNAL_LIMIT])
        if len(text) > JOURNAL_LIMIT:
            return JournalRead(events, f"{JOURNAL} was cut at {JOURNAL_LIMIT >> 20} MiB")
        if len(events) >= journal.MOST_EVENTS:
            return JournalRead(events, f"{JOURNAL} was cut at {journal.MOST_EVENTS} events")
        return JournalRead(events)

    def stage_now(self) -> tuple[Stage, float | None]:
        """The stage that its worker began last, and when (CLOCK_MONOTONIC); only what is new is read."""
        with contextlib.suppress(OSError):
            fd = open_regular(JOURNAL, self._fd)
            try:
                data = os.pread(fd, JOURNAL_LIMIT, self._seen)
            finally:
                os.close(fd)
            self._seen += len(data)
            *lines, self._torn = (self._torn + data).split(b"\n")
            for event in journal.parse_journal(
                b"".join(x + b"\n" for x in lines if b'"Began"' in x)
            ):
                if isinstance(event, journal.Began):
                    self._stage = event.stage, event.at_s
        return self._stage

    def damage(self) -> str:
        """What became of the folder while its worker ran; "" where it is what it was."""
        try:
            now = os.lstat(self.path)
        except FileNotFoundError:
            return f"{DAMAGED}: it is gone"
        except OSError as e:
            return f"{DAMAGED}: {e.strerror}"
        if not stat.S_ISDIR(now.st_mode) or (now.st_dev, now.st_ino) != self._id:
            return f"{DAMAGED}: something else is in its place"
        if (job := file_version(self._job)) != self._job_was:
            return f"{DAMAGED}: {self._job.name} {'was changed' if job else 'is gone'}"
        return ""

    def write_launch(self, launch: Launch) -> None:
        """Make the launch durable in the folder that was opened, so that a resumed run need not repeat it."""
        text = json.dumps(stamp(codec.encode(launch)), separators=(",", ":"))
        aside = f".{LAUNCH}.{secrets.token_hex(4)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(aside, flags, 0o644, dir_fd=self._fd)
        try:
            with os.fdopen(fd, "wb") as f:
                f.write(text.encode() + b"\n")
            try:
                os.rename(aside, LAUNCH, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except IsADirectoryError:  # a worker's: this launch is known while the run lasts
                os.unlink(aside, dir_fd=self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(aside, dir_fd=self._fd)
            raise

    def bound_log(self, *, ended: bool = False) -> None:
        """Empty a log that is too long; its end stays where nobody writes any more."""
        with contextlib.suppress(OSError):
            fd = os.open(
                LOG, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd
            )
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_size <= LOG_LIMIT:
                    return
                end = os.pread(fd, LOG_END, found.st_size - LOG_END) if ended else b""
                os.ftruncate(fd, 0)  # opened for append by its writer, who goes on at the new end
                os.pwrite(fd, end, 0)
            finally:
                os.close(fd)

    def remove_temporary(self) -> None:
        """Remove what engines left in their folder for temporary files."""
        with contextlib.suppress(OSError):
            remove_tree(TMP, self._fd)

    def read_log_end(self, limit: int) -> bytes:
        """The last bytes of the log; b"" where there is none that can be read."""
        try:
            fd = open_regular(LOG, self._fd)
        except OSError:
            return b""
        try:
            size = os.fstat(fd).st_size
            return os.pread(fd, limit, max(0, size - limit))
        finally:
            os.close(fd)
