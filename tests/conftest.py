"""What every test runs under: a world of its own, from which nothing may be left, and the marks of those that need more."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import leftovers, models
from tests.asking import CURRENT, ROOT
from tests.debian import need

# Examples are not timed (a busy machine is no bug), and a failing one is printed rather than stored.
settings.register_profile(
    "tests", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
settings.load_profile("tests")


FOLDERS = pytest.StashKey[leftovers.FolderWatch]()


@pytest.fixture(scope="session", autouse=True)
def own_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Folders of the session's own, so that no run on this machine waits for a test and what is left is seen."""
    temporary = tmp_path_factory.mktemp("system")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EP_PERF_LEASES", str(tmp_path_factory.mktemp("leases")))
        for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        patch.setenv(leftovers.MARK, str(os.getpid()))
        patch.setenv("COLUMNS", "120")
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv(
            "ORT_DISABLE_TELEMETRY", "1"
        )  # a session in a test's own process leaves a .ses
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # the tests mean a machine without a GPU
        request.config.stash[FOLDERS] = leftovers.FolderWatch(ROOT, temporary)
        with default_signals():
            yield


@contextlib.contextmanager
def default_signals() -> Iterator[None]:
    """Let children start with the signals' defaults, where a shell's `&` or nohup has us ignore some.

    A handler that does nothing is as good as to ignore, for us; a program that is started is not given it.
    """
    ignored = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Fail a test that leaves a file, and the last test of a module whose tests leave a process."""
    yield
    if FOLDERS not in item.config.stash:
        return  # not one test has come to its fixtures yet
    left = item.config.stash[FOLDERS].new_names()
    if (
        nextitem is None or nextitem.path != item.path
    ):  # a module's fixtures may keep some until here
        left += leftovers.end_processes()
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Compile each file once; refuse to run tests marked `alone` beside others.

    A shell that has Python write no bytecode would have thousands of processes compile us anew: a quarter of
    the suite's time. One test runs the wrapper so. The plugin that takes -n may be missing.
    """
    sys.dont_write_bytecode = False
    several = config.getoption("numprocesses", default=None)
    if several and "not alone" not in config.getoption("markexpr"):
        raise pytest.UsageError(
            f"-n {several}: some tests must run alone; add -m 'not alone', then run -m alone without -n"
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """See to a test's mark `needs`."""
    for mark in item.iter_markers("needs"):
        need(*mark.args)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to run in: the tests' own interpreter as its one environment, two small models."""
    return made_home(tmp_path / "home")


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a whole module: its tests must not write over each other's."""
    return made_home(tmp_path_factory.mktemp("shared") / "home")


def made_home(folder: Path) -> Path:
    folder.mkdir()
    (folder / "environments.toml").write_text(CURRENT, encoding="utf-8")
    models.relu(folder / "models" / "relu")
    models.linear(folder / "models" / "linear")
    assert os.access(folder, os.W_OK)
    return folder
