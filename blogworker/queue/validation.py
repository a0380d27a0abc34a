"""Validate a new job: the table's constraints, with a message for each violation.

The database checks the same again (`sql/schema/queue.sql`). There the first violation stops a whole batch; here all
violations are reported to the producer before anything is sent.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, get_args

from blogworker.db.loaders import BEFORE_ALL, NEVER
from blogworker.db.storable import DEEPEST, too_large
from blogworker.printable import is_visible

SourceType = Literal["keyword", "product", "text"]
PublishMode = Literal["publish", "draft"]
INSTANCE_ID_MAX = 200
SOURCE_ID_MAX = 500
IDEMPOTENCY_KEY_MAX = 200
KEYWORD_MAX = 200  # characters; the model would get a truncated keyword, and another post would be paid for
SOURCE_DATA_MAX = 65_536  # bytes, as jsonb prints it
LEVELS_MAX = DEEPEST  # the nesting of objects and arrays in source_data
SMALLINT = range(-(2**15), 2**15)
ATTEMPTS = range(1, 2**31)
NAME_MAX, PLAN_MAX, REASON_MAX = 500, 100, 2_000  # characters of a site's texts
OFFSET_MAX = timedelta(hours=15, minutes=59)  # the largest offset from UTC that PostgreSQL accepts


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to enqueue, not validated. `faults` validates it."""

    instance_id: str
    source_type: SourceType
    source_id: str | None
    source_data: dict[str, Any]
    priority: int = 0
    run_at: datetime | None = None  # aware
    publish_at: datetime | None = None  # aware
    idempotency_key: str | None = None
    max_attempts: int | None = None  # None: the table's default
    publish_mode: PublishMode | None = None  # None: as in the site's settings


class RepeatedKey(ValueError):
    """A JSON object has a key twice."""


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of these pairs, for `json.loads`, which keeps the last value silently. Raises RepeatedKey."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RepeatedKey(f"{twice[:60]!r} is given twice")
    return found


def faults(job: NewJob) -> list[str]:
    """Return each reason to refuse the job, with advice. Empty: the job may be enqueued."""
    return [*_identity(job), *_data(job.source_data), *_subject(job), *_numbers(job), *_times(job), *_mode(job)]


def site_faults(instance_id: object) -> list[str]:
    """Return each reason to refuse the id of a site."""
    if not isinstance(instance_id, str) or not instance_id.strip():
        return ["instance_id is missing: give the site's id as text"]
    return list(_text("instance_id", instance_id, INSTANCE_ID_MAX))


def site_text_faults(**texts: str | None) -> list[str]:
    """Return each reason to refuse a site's name, its plan, or the reason of a pause."""
    longest = {"name": NAME_MAX, "plan": PLAN_MAX, "reason": REASON_MAX}
    return [fault for name, text in texts.items() if text is not None for fault in _text(name, text, longest[name])]


def _identity(job: NewJob) -> Iterator[str]:
    yield from site_faults(job.instance_id)
    if job.source_id is not None:
        yield from _text("source_id", job.source_id, SOURCE_ID_MAX)
    if job.idempotency_key == "":
        yield "idempotency_key is empty: leave it out or give a key"
    elif job.idempotency_key is not None:
        yield from _text("idempotency_key", job.idempotency_key, IDEMPOTENCY_KEY_MAX)


def _text(name: str, value: object, longest: int) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} must be text, not {_kind(value)}"
        return
    if len(value) > longest:
        yield f"{name} has {len(value)} characters: at most {longest} are allowed"
    if trouble := _unstorable(value):
        yield f"{name} holds {trouble}: remove it"


def _unstorable(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a surrogate pair"
    return None


def _data(data: object) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"source_data must be a JSON object, not {_kind(data)}"
        return
    if (size := _size(data)) is not None and size > SOURCE_DATA_MAX:
        yield _too_large(size)  # before its values are looked at, which takes much longer
        return
    extra = 0
    for path, value, level in _walk(data):
        if fault := _json_fault(path, value, level):
            yield fault
            return
        if isinstance(value, float):
            extra += len(f"{Decimal(repr(value)):f}") - len(repr(value))  # jsonb writes 1e300 out in full
    try:
        size = len(json.dumps(data, ensure_ascii=False).encode()) + extra
    except (ValueError, RecursionError) as error:
        yield f"source_data cannot be written as JSON: {error}"
        return
    if size > SOURCE_DATA_MAX:
        yield _too_large(size)


def _size(data: dict[Any, Any]) -> int | None:
    """Return the bytes of the data as JSON; None if it cannot be written as JSON."""
    try:
        return len(json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError):
        return None


def _too_large(size: int) -> str:
    return f"source_data has {size:,} bytes: at most {SOURCE_DATA_MAX:,} are allowed"


def _json_fault(path: str, value: object, level: int) -> str | None:
    if level > LEVELS_MAX:
        return f"source_data is nested more than {LEVELS_MAX} levels deep: flatten it"
    match value:
        case str():
            trouble = _unstorable(value)
            return f"{path} holds {trouble}: remove it" if trouble else None
        case float() if not isfinite(value):
            return f"{path} is {value}, which JSON does not know: use a number or null"
        case int() | float() if too_large(value):
            return f"{path} is a number beyond 1e308: put it into a string"
        case None | bool() | int() | float() | dict() | list():
            return None
        case _:
            return f"{path} is {_kind(value)}, which JSON does not know: use text"


def _walk(data: dict[Any, Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield each key and value with its path and level. Not recursive, because the producer decides the depth."""
    waiting: list[tuple[str, object, int]] = [("source_data", data, 0)]
    seen: dict[
        int, int
    ] = {}  # the level of each object and array; one that contains itself is met at ever deeper levels
    while waiting:
        path, value, level = waiting.pop()
        yield path, value, level
        if not isinstance(value, (dict, list)) or seen.get(id(value), -1) >= level:
            continue
        seen[id(value)] = level
        if isinstance(value, list):
            waiting += [(f"{path}[{place}]"[:100], item, level + 1) for place, item in enumerate(value)]
            continue
        for key, item in value.items():
            # json.dumps would turn a key that is not text into text, which might then exist twice.
            yield f"a key of {path}", key if isinstance(key, str) else object(), level
            step = f".{key}" if str(key).isidentifier() else f"[{key!r:.40}]"
            waiting.append((f"{path}{step}"[:100], item, level + 1))


def _subject(job: NewJob) -> Iterator[str]:
    data = job.source_data if isinstance(job.source_data, dict) else {}
    match job.source_type:
        case "keyword":
            keyword = _first(data.get("keyword"), job.source_id)
            if _is_blank(keyword):
                yield "a keyword job needs its keyword: put it into source_data.keyword or source_id"
            elif (length := len(" ".join(str(keyword).split()))) > KEYWORD_MAX:
                yield f"a keyword of {length:,} characters: at most {KEYWORD_MAX} are allowed"
        case "product":
            if _is_blank(_first(data.get("name"), job.source_id)):
                yield "a product job needs source_data.name, or a source_id to read it from the shop"
        case "text":
            if _is_blank(data.get("text")):
                yield "a text job needs its text: put it into source_data.text"
        case _:
            yield f"source_type {job.source_type!r:.60} is unknown: use {', '.join(get_args(SourceType))}"


def _first(value: object, other: object) -> object:
    return other if value is None else value


def _is_blank(value: object) -> bool:
    """Return whether the value gives nothing to write about. A number counts as text: a keyword may be 1984."""
    if isinstance(value, str):
        return not is_visible(value)
    return isinstance(value, bool) or not isinstance(value, (int, float))


def _numbers(job: NewJob) -> Iterator[str]:
    if type(job.priority) is not int or job.priority not in SMALLINT:
        yield f"priority must be a whole number from {SMALLINT[0]:,} to {SMALLINT[-1]:,}"
    if job.max_attempts is not None and (type(job.max_attempts) is not int or job.max_attempts not in ATTEMPTS):
        yield "max_attempts must be a whole number from 1"


def _times(job: NewJob) -> Iterator[str]:
    for name, time in (("run_at", job.run_at), ("publish_at", job.publish_at)):
        if time is None:
            continue
        if not isinstance(time, datetime):
            yield f"{name} must be a time, not {_kind(time)}"
        elif (offset := time.utcoffset()) is None:
            yield f"{name} has no time zone: add Z or an offset such as +02:00"
        elif abs(offset) > OFFSET_MAX:
            yield f"{name} has an offset of more than 15:59 hours: give it in UTC"
        elif not BEFORE_ALL <= time <= NEVER:
            yield f"{name} is outside the years 1 to 9999 in UTC: leave it out, or give a time that can come"


def _mode(job: NewJob) -> Iterator[str]:
    if job.publish_mode is not None and job.publish_mode not in get_args(PublishMode):
        yield f"publish_mode {job.publish_mode!r:.40} is unknown: use {', '.join(get_args(PublishMode))}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")
