"""The query language of Wix: filters, sorting and paging of dictionaries."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from blogworker.simulator.edge import ApiError
from blogworker.simulator.wix.errors import application_error

Row = Mapping[str, Any]
DEFAULT_LIMIT = 50
MOST_ROWS = 100


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, given: value is not None and given is not None and test(value, given)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, given: bool(value == given),
    "$ne": lambda value, given: bool(value != given),
    "$in": lambda value, given: value in given,
    "$gt": _ordered(lambda value, given: bool(value > given)),
    "$gte": _ordered(lambda value, given: bool(value >= given)),
    "$lt": _ordered(lambda value, given: bool(value < given)),
    "$lte": _ordered(lambda value, given: bool(value <= given)),
    "$startsWith": _ordered(lambda value, given: str(value).startswith(given)),
    "$exists": lambda value, given: (value is not None) == bool(given),
    "$hasSome": _ordered(lambda value, given: bool(set(value) & set(given))),
    "$hasAll": _ordered(lambda value, given: set(given) <= set(value)),
}


def run_query(rows: Sequence[Row], query: Any, filterable: frozenset[str]) -> tuple[list[Row], dict[str, Any]]:
    """Run a query: returns one page of rows and its paging metadata. Raises ApiError for unsupported fields."""
    query = query if isinstance(query, dict) else {}
    condition = query.get("filter") or {}
    matching = [row for row in rows if _matches(row, condition, filterable)]
    for sort in reversed(query.get("sort") or []):
        name = sort.get("fieldName", "")
        _check(name, filterable)
        matching.sort(key=partial(_sort_key, name), reverse=sort.get("order") == "DESC")
    return _page(matching, query)


def _sort_key(name: str, row: Row) -> str:
    return str(row.get(name) or "")


def _page(matching: list[Row], query: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    by_cursor = query.get("cursorPaging")
    paging = by_cursor or query.get("paging") or {}
    limit = paging.get("limit") or DEFAULT_LIMIT
    if limit > MOST_ROWS:
        raise application_error(400, "INVALID_ARGUMENT", f"limit must be at most {MOST_ROWS}")
    cursor = paging.get("cursor") or ""
    offset = int(cursor) if cursor.isdigit() else paging.get("offset") or 0
    page = matching[offset : offset + limit]
    if by_cursor is not None:
        more = offset + limit < len(matching)
        cursors = {"next": str(offset + limit)} if more else {}
        return page, {"count": len(page), "cursors": cursors, "hasNext": more}
    return page, {"count": len(page), "offset": offset, "total": len(matching), "tooManyToCount": False}


def _matches(row: Row, condition: Mapping[str, Any], filterable: frozenset[str]) -> bool:
    return all(_holds(row, name, expected, filterable) for name, expected in condition.items())


def _holds(row: Row, name: str, expected: Any, filterable: frozenset[str]) -> bool:
    match name:
        case "$and":
            return all(_matches(row, part, filterable) for part in expected)
        case "$or":
            return any(_matches(row, part, filterable) for part in expected)
        case "$not":
            return not _matches(row, expected[0] if isinstance(expected, list) else expected, filterable)
    _check(name, filterable)
    value = row.get(name)
    if not isinstance(expected, dict):
        return bool(value == expected)
    is_date = name.endswith("Date")
    return all(_operator(op)(value, _normalized_date(given) if is_date else given) for op, given in expected.items())


def _normalized_date(value: Any) -> Any:
    """A date in the one format in which dates compare as text. Other values are returned unchanged."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _operator(name: str) -> Callable[[Any, Any], bool]:
    if name not in OPERATORS:
        raise _unsupported(f"Filter operator {name} is not supported")
    return OPERATORS[name]


def _check(name: str, filterable: frozenset[str]) -> None:
    if name not in filterable:
        raise _unsupported(f"Field '{name}' does not support filtering and sorting")


def _unsupported(description: str) -> ApiError:
    return application_error(400, "UNSUPPORTED_QUERY", description)
