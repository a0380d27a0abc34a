"""Commands that need more than the core install say so in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from blogworker.errors import SettingsError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what an extra brings inside this block."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blogworker"):
            raise
        raise SettingsError(
            f"this command needs {error.name}, which is not installed: pip install 'blogworker[{name}]'"
        ) from error
