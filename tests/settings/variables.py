"""The variables that the settings read."""

from typing import get_type_hints

from blogworker.section import Section, variable
from blogworker.settings import (
    Settings,
)

URL = "postgresql://u:hunter2@db.example/blogs"


def known() -> dict[str, tuple[type[Section], str]]:
    """Each variable with its section and field."""
    sections: list[type[Section]] = list(get_type_hints(Settings).values())
    return {variable(s, field): (s, field) for s in sections for field in s.model_fields}
