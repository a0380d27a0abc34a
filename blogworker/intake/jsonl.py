"""JSON Lines: one object per line, with the fields of NewJob in snake_case or camelCase."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NoReturn

from blogworker.errors import Fault
from blogworker.intake import identifiers, visibility
from blogworker.intake.lines import Lines, numbered
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.intake.table import spelled
from blogworker.queue.validation import NewJob, without_repeats


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.title, rest))


FIELDS = tuple(field.name for field in fields(NewJob))
SPELLINGS = {name: name for name in FIELDS} | {_camel(name): name for name in FIELDS}
SPREAD = {"[": "a JSON list", "[{": "a JSON list", "{": "JSON over several lines"}  # by their first line
FLATTEN = {"a JSON list": ".[]", "JSON over several lines": "."}
STATES = {word: name for name in visibility.STATED for word in visibility.COLUMNS[name]}
SUBJECTS = ("keyword", "name", "text")  # often put beside source_data instead of into it


def drafts(lines: Lines, *, include_hidden: bool, now: Callable[[], datetime]) -> Iterator[Drafted]:
    """Yield the job of each line, or its fault. Blank lines are skipped, and products that are stated to be hidden.

    JSON that spans several lines is one fault, not one per line.
    """
    is_first = True
    for row in numbered(lines):
        if isinstance(row, Fault):
            yield row
        elif row[1].strip():
            line, text = row
            begins = text.strip()
            if is_first and (form := SPREAD.get("[{" if begins.startswith("[{") else begins)):
                yield Fault(line, f"the file is {form}: write one object per line, as `jq -c {FLATTEN[form]}` does")
                return
            try:
                given = _fields(_object(text))
            except ValueError as error:
                yield Fault(line, str(error))
            else:
                reason = None if include_hidden else _why_hidden(given, now)
                yield Skipped(line, f"the product is not visible: {reason}", reason) if reason else Draft(line, given)
        is_first = is_first and not (isinstance(row, tuple) and row[1].strip())


def _why_hidden(given: dict[str, Any], now: Callable[[], datetime]) -> str | None:
    """Return why source_data states that the product is not visible. Other words in these fields are no faults."""
    data = given.get("source_data")
    if given["source_type"] != "product" or not isinstance(data, dict):
        return None
    for key, value in data.items():
        name = STATES.get(spelled(str(key)))
        if name is None or not isinstance(value, (str, int)):
            continue
        with suppress(visibility.UnknownState):
            if reason := visibility.why_hidden({name: str(value).strip()}, now):
                return reason
    return None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_whole, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        hint = ": write one object per line, not a list" if text.lstrip().startswith(("[", "]")) else ""
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}{hint}") from None
    except RecursionError:
        raise ValueError("not usable: the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError('not an object: a line looks like {"source_type": "keyword", "source_id": "..."}')
    return value


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python limits the number of digits
        raise ValueError(f"not usable: a number with {len(digits):,} digits: write it as a string") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"not JSON: {constant} is not a JSON value: use a number or null")


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row. Raises ValueError with a reason for the producer."""
    given: dict[str, Any] = {}
    for spelling, value in row.items():
        name = SPELLINGS.get(spelling)
        if name is None:
            raise ValueError(f"unknown field {spelling[:60]!r}{_advice(spelling)}")
        if name in given:
            raise ValueError(f"{name} is given twice")
        if value is not None:
            given[name] = _time(name, value) if name in ("run_at", "publish_at") else value
    if "source_type" not in given:
        raise ValueError("source_type is missing: use keyword, product or text")
    identifier = str(given.get("source_id", ""))
    if given["source_type"] == "product" and (reason := identifiers.complaint(identifier)):
        raise ValueError(reason)
    return given


def _advice(spelling: str) -> str:
    if spelling in SUBJECTS:
        return ": put it into source_data"
    close = get_close_matches(spelling[:60].lower(), FIELDS, n=1)
    return f": did you mean {close[0]}?" if close else f": known are {', '.join(FIELDS)}"


def _time(name: str, value: object) -> datetime:
    try:
        return datetime.fromisoformat(str(value) if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{name} is not a time: write it as 2026-01-31T09:00:00Z") from None
