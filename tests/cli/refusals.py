"""How a command refuses bad input."""

from collections.abc import Callable
from typing import Any

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 75
KEYS = {"OPENAI_API_KEY": "sk-test-1", "REPLICATE_API_TOKEN": "r8-test-1"}
Sql = Callable[..., list[tuple[Any, ...]]]


def queue_is_empty(sql: Sql) -> bool:
    return sql("select count(*) from blog_generations") == [(0,)] and sql("select count(*) from sites") == [(0,)]


def complained(ran: Any, *, code: int, of: str) -> None:
    """One clear line that holds `of`, nothing else on either stream, and the exit code."""
    assert (ran.code, ran.out) == (code, ""), ran
    assert len(ran.complaints) == 1, ran.err
    assert ran.err.startswith("blogworker: ")
    assert of in ran.err
