"""Nothing of a test's log is left for the next test."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave no set-up behind for other tests."""
    yield
    structlog.reset_defaults()
