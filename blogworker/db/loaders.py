"""Read whatever a column holds. A value that Python cannot represent must not take the whole answer with it.

The constraints of the tables keep such values out (`sql/schema`). A row that was stored without them, by a restore or
by replication, would stop every claim, or hide every other row of a list.
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

SHOWN = 200  # characters kept of what cannot be read
NEVER = datetime.max.replace(tzinfo=UTC)  # stands for infinity, and for any time beyond Python's last
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A JSON value that Python cannot read."""

    text: str  # its beginning
    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}: {self.text}"


def load_json(data: str | bytes) -> Any:
    """The value, or Unreadable: PostgreSQL takes JSON that is nested deeper, and longer numbers, than Python does."""
    text = data if isinstance(data, str) else data.decode()
    try:
        return json.loads(text)
    except RecursionError:
        return Unreadable(text[:SHOWN], "it is nested too deeply")
    except ValueError as error:
        return Unreadable(text[:SHOWN], str(error).partition(";")[0])


class _Tolerant(Loader):
    """Gives the first or the last moment for a time that is out of reach."""

    kind: str
    first: Any
    last: Any

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        # The driver's own, in C where there is one: asked only once for each column of an answer.
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
    """The adapters of every connection of ours."""
    found = AdaptersMap(adapters)
    set_json_loads(load_json, found)
    for loader in (TimestamptzLoader, DateLoader):
        found.register_loader(loader.kind, loader)
    return found


def _driver_loader(kind: str) -> Any:
    return adapters.get_loader(postgres.types[kind].oid, Format.TEXT)
