"""Commands that need an extra of the package report a missing one in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from blogworker.errors import SettingsError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Context for the imports that need an extra. Raises SettingsError when a module is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blogworker"):
            raise
        raise SettingsError(
            f"this command needs {error.name}, which is not installed: pip install 'blogworker[{name}]'"
        ) from error
