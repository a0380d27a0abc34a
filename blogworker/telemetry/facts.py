"""Collects facts from deep in the call stack for one log line of the caller.

The log line of an attempt is written where its outcome is stored, but its cost and title are known deeper in the call
stack. Facts that are gathered for a part (a stage of an attempt) are added to the whole too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

DECIMALS = 6  # sums are rounded like the dollars of the ledger
Facts = dict[str, Any]
_gathering: ContextVar[Facts | None] = ContextVar("gathering", default=None)


@contextmanager
def gathered() -> Iterator[Facts]:
    """Gather the facts that are noted while the block runs."""
    whole, facts = _gathering.get(), Facts()
    token = _gathering.set(facts)
    try:
        yield facts
    finally:
        _gathering.reset(token)
        if whole is not None:
            _merge(whole, facts)


def note(**facts: Any) -> None:
    """Add facts to those being gathered. Numbers are summed, other values replace earlier ones, None is ignored."""
    if (gathering := _gathering.get()) is not None:
        _merge(gathering, facts)


def _merge(into: Facts, facts: Facts) -> None:
    for name, value in facts.items():
        if isinstance(value, int | float):
            into[name] = round(into.get(name, 0) + value, DECIMALS)
        elif value is not None:
            into[name] = value
