"""What the code that does the work knows, for the one log line of whoever runs it.

The line of an attempt is written where its outcome is stored; what it paid, and for which title, is known some calls
further down. Facts gathered within a part (a stage of an attempt) are of the whole too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

DECIMALS = 6  # of a dollar
Facts = dict[str, Any]
_gathering: ContextVar[Facts | None] = ContextVar("gathering", default=None)


@contextmanager
def gathered() -> Iterator[Facts]:
    """What is noted while the block runs."""
    whole, facts = _gathering.get(), Facts()
    token = _gathering.set(facts)
    try:
        yield facts
    finally:
        _gathering.reset(token)
        if whole is not None:
            _merge(whole, facts)


def note(**facts: Any) -> None:
    """Numbers are added up, as exactly as the ledger does; of the rest the last one stands, and None says nothing."""
    if (gathering := _gathering.get()) is not None:
        _merge(gathering, facts)


def _merge(into: Facts, facts: Facts) -> None:
    for name, value in facts.items():
        if isinstance(value, int | float):
            into[name] = round(into.get(name, 0) + value, DECIMALS)
        elif value is not None:
            into[name] = value
