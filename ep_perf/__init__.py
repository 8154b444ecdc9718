"""The one name in site-packages: importing it puts perf, comparison and setup_models on the path."""

import sys
from pathlib import Path

_HERE = Path(__file__).absolute().parent
# Installed, they lie in here, in a clone beside this folder. Never resolved: see perf/request/locations.py.
_CODE = str(_HERE if (_HERE / "perf").is_dir() else _HERE.parent)
if _CODE not in sys.path:
    sys.path.insert(0, _CODE)

from perf import __version__ as __version__  # noqa: E402
