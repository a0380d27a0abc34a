from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from blogworker.intake import Row, read

Reads = Callable[..., list[Row]]


@pytest.fixture
def data() -> Path:
    return Path(__file__).parent / "data"


@pytest.fixture
def rows_of() -> Reads:
    """All rows of a text or of bytes, for the site `shop` unless told otherwise."""

    def rows_of(content: str | bytes, **options: Any) -> list[Row]:
        content = content.encode() if isinstance(content, str) else content
        return list(read(BytesIO(content), **({"instance_id": "shop"} | options)))

    return rows_of
