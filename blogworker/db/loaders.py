"""Load every value that a column can hold, so that one value that Python cannot represent does not fail the query.

The constraints of the tables exclude such values (`sql/schema`). A restore or replication can store them all the same,
and one such row would otherwise fail every claim or hide all other rows of a list.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from psycopg import DataError, adapters, postgres
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format
from psycopg.types.json import set_json_loads

SHOWN = 200  # characters of an unreadable value that are kept
NEVER = datetime.max.replace(tzinfo=UTC)  # represents infinity, and any time after Python's latest
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A JSON value that Python cannot read."""

    text: str  # the first characters of the value
    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}: {self.text}"


def load_json(data: str | bytes) -> Any:
    """Return the value, or Unreadable: PostgreSQL accepts deeper nesting and longer numbers than Python does."""
    text = data if isinstance(data, str) else data.decode()
    try:
        return json.loads(text)
    except RecursionError:
        return Unreadable(text[:SHOWN], "it is nested too deeply")
    except ValueError as error:
        return Unreadable(text[:SHOWN], str(error).partition(";")[0])


class _Tolerant(Loader):
    """Returns the earliest or the latest value for a time that Python cannot represent."""

    kind: str
    first: Any
    last: Any

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        # The driver's loader, in C where available; looked up once for each column of a result.
        self._load: Callable[[Buffer], Any] = _driver_loader(self.kind)(oid, context).load

    def load(self, data: Buffer) -> Any:
        try:
            return self._load(data)
        except DataError:
            text = bytes(data)
            return self.first if text.startswith(b"-") or text.endswith(b"BC") else self.last


class TimestamptzLoader(_Tolerant):
    kind, first, last = "timestamptz", BEFORE_ALL, NEVER


class DateLoader(_Tolerant):
    kind, first, last = "date", date.min, date.max


@cache
def tolerant() -> AdaptersMap:
    """Return the adapters that all our connections use."""
    found = AdaptersMap(adapters)
    set_json_loads(load_json, found)
    for loader in (TimestamptzLoader, DateLoader):
        found.register_loader(loader.kind, loader)
    return found


def _driver_loader(kind: str) -> Any:
    return adapters.get_loader(postgres.types[kind].oid, Format.TEXT)
