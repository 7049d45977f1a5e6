"""Fixtures of the integration tests."""

from collections.abc import Iterator

import pytest
from playwright import sync_api

from browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """The system's Chromium."""
    with chromium() as started:
        yield started
