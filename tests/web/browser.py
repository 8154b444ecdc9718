"""A headless chromium that tests open pages in; one process serves all of them."""

import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.debian import need

HERE = Path(__file__).parent
DEADLINE_S = 120.0


class Browser:
    """Commands to browser.mjs; each waits for its answer, and raises AssertionError without one."""

    def __init__(self, scratch: Path | None = None) -> None:
        """Start it; what it writes while it is open lies in `scratch`, else among the system's temporary files."""
        need("chromium", "chromium fonts-dejavu-core")
        need("npm", "nodejs npm")
        assert (HERE / "node_modules/.installed").exists(), "run tests/web/setup.sh first"
        self._node = subprocess.Popen(
            ["node", str(HERE / "browser.mjs")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1,
            env={**os.environ, **({"TMPDIR": str(scratch)} if scratch else {})},
        )  # fmt: skip

    def open(
        self, file: Path, width: int = 1440, scheme: str = "light", *, script: bool = True
    ) -> float:
        """Load a file in a fresh context; returns the milliseconds until it was loaded."""
        loaded = self._ask("open", file=str(file), width=width, scheme=scheme, script=script)
        return float(loaded["milliseconds"])

    def told(self) -> dict[str, list[str]]:
        """Console lines, requests and errors since the page was opened."""
        found: dict[str, list[str]] = self._ask("told")
        return found

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self._ask("evaluate", expression=expression)

    def wait_for(self, expression: str) -> None:
        """Return once an expression is true in the page; AssertionError after 20 s."""
        end = time.monotonic() + 20
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        self._ask("click", selector=selector)

    def press(self, key: str) -> None:
        self._ask("press", key=key)

    def fill(self, selector: str, text: str) -> None:
        self._ask("fill", selector=selector, text=text)

    def choose(self, selector: str, label: str) -> None:
        self._ask("choose", selector=selector, label=label)

    def media(self, media: str) -> None:
        self._ask("media", media=media)

    def axe(self) -> list[str]:
        """Violations that axe-core finds."""
        found: list[str] = self._ask("axe")
        return found

    def screenshot(self, file: Path, *, full: bool = True) -> None:
        self._ask("screenshot", file=str(file), full=full)

    def close(self) -> None:
        """End it; what does not end in time is killed."""
        assert self._node.stdin
        self._node.stdin.close()
        try:
            self._node.wait(20)
        except subprocess.TimeoutExpired:
            self._node.kill()
            self._node.wait()
        if self._node.stdout:
            self._node.stdout.close()

    def _ask(self, command: str, **given: object) -> Any:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps({"command": command, **given}) + "\n")
        self._node.stdin.flush()
        ready, _, _ = select.select([self._node.stdout], [], [], DEADLINE_S)
        assert ready, f"no answer to {command} in {DEADLINE_S:g} s"
        told = json.loads(self._node.stdout.readline() or '{"error": "the browser ended"}')
        assert "error" not in told, f"{command}: {told.get('error')}"
        return told["answer"]
