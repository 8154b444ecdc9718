"""Fixtures of the tests of model set-up."""

from collections.abc import Iterator

import pytest

from tests.setup_models.serving import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as world:
        yield world
