"""The one name in site-packages: importing it puts perf, comparison and setup_models on the path."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

_FOLDER = Path(__file__).absolute().parent
# Installed, they lie in here, in a clone beside this folder. Never resolved: see perf/request/locations.py.
_CODE = str(_FOLDER if (_FOLDER / "perf").is_dir() else _FOLDER.parent)
if _CODE not in sys.path:
    sys.path.insert(0, _CODE)

from perf import __version__ as __version__  # noqa: E402

if TYPE_CHECKING:
    from ep_perf.api import LoadedRun as LoadedRun
    from ep_perf.api import RunFailedError as RunFailedError
    from ep_perf.api import load as load
    from ep_perf.api import run as run


def __getattr__(name: str) -> Any:
    """`load`, `run` and their types are imported when they are asked for: the command needs none of them."""
    if name not in ("LoadedRun", "RunFailedError", "load", "run"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ep_perf import api

    return getattr(api, name)
