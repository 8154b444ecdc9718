"""Where our code and data lie, and where models and environments go: in a clone, or in a package."""

import os
from pathlib import Path

# The folder that holds perf, comparison and setup_models: a clone's root, or site-packages/ep_perf. Never
# resolved: a link may lead to a folder of other packages, which a worker elsewhere must not see.
CODE = Path(__file__).absolute().parents[2]
IN_CLONE = (CODE / "perf.sh").is_file()
MODEL_LIST = CODE / "model_list.json"  # the offline models
ENVIRONMENTS = CODE / "environments.toml"
COMMIT = "harness_commit.txt"  # in CODE of a package, whose commit no .git can tell


def home_folder() -> Path:
    """What models and environments lie in: the clone, else EP_PERF_HOME or XDG's folder for data."""
    if IN_CLONE:
        return CODE
    named = os.environ.get("EP_PERF_HOME")
    return Path(named).absolute() if named else xdg_folder("DATA", ".local/share")


def models_folder() -> Path:
    """Where the offline models are made, and what the built-in model list is relative to."""
    return home_folder() / "models"


def new_models_folder() -> Path:
    """Where a user's models are added: a clone's user works in it, or in a folder of their own."""
    return Path("models") if IN_CLONE else models_folder()


def environments_folder() -> Path:
    """Where environments are built; EP_PERF_ENVS names one that clones share."""
    if named := os.environ.get("EP_PERF_ENVS"):
        return Path(named).absolute()
    return home_folder() / (".envs" if IN_CLONE else "envs")


def xdg_folder(kind: str, usual: str) -> Path:
    """Our folder below $XDG_<kind>_HOME, or below its usual place in the user's home."""
    named = os.environ.get(f"XDG_{kind}_HOME", "")
    base = Path(named) if named.startswith("/") else Path.home() / usual
    return base / "ep-perf"


def read_commit(folder: Path = CODE) -> str:
    """The commit that a git checkout stands at, or that a package was built from; "" where neither tells."""
    git = folder / ".git"
    if not git.exists():
        return _text(folder / COMMIT)
    if git.is_file():  # a worktree or a submodule points elsewhere
        git = folder / _text(git).removeprefix("gitdir:").strip()
    head = _text(git / "HEAD")
    if not head.startswith("ref:"):
        return head
    ref = head.removeprefix("ref:").strip()
    common = _text(git / "commondir")
    shared = git / common if common else git
    for loose in (git / ref, shared / ref):
        if found := _text(loose):
            return found
    for line in _text(shared / "packed-refs").splitlines():
        digest, _, name = line.partition(" ")
        if name == ref:
            return digest
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
