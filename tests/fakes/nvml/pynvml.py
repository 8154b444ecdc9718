"""Takes NVML's place (a library we do not own) for a whole run, where PYTHONPATH names this folder first.

FAKE_NVML_BOARDS is how many boards there are; FAKE_NVML_REASONS names a file that holds the clock-event
reasons they tell just now.
"""

import os
import time
from pathlib import Path
from typing import Any

from tests.fakes.nvml_fake import FakeNvml, FakeNVMLError


class _Live(FakeNvml):
    """On the machine's own clock."""

    @property
    def now_s(self) -> float:
        return time.monotonic()

    @now_s.setter
    def now_s(self, _value: float) -> None:
        """Time passes by itself."""


def _reasons(_now_s: float) -> int:
    file = os.environ.get("FAKE_NVML_REASONS")
    return int(Path(file).read_text(encoding="ascii"), 16) if file else 0


NVMLError = FakeNVMLError
_nvml = _Live(boards=int(os.environ.get("FAKE_NVML_BOARDS", "1")), reasons=_reasons)


def __getattr__(name: str) -> Any:
    return getattr(_nvml, name)
