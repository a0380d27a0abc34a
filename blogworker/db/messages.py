"""One-line messages for database errors, without internals of the driver and of libpq."""

import re

import psycopg
from psycopg_pool import PoolTimeout

_PLACE = re.compile(
    r'connection to server (?:at|on socket) "(?P<host>[^"]*)"(?: \([^)]*\))?(?:, port (?P<port>\d+))? failed: '
    r"(?P<reason>.*)"
)
_CALL = re.compile(r"^(?:[a-z ]+ (?:failed|is bad): )+")  # the name of a libpq call
_SEVERITY = re.compile(r"^(?:FATAL|ERROR|PANIC): +")
_HOST = re.compile(r"^failed to resolve host '(?P<host>.*)': (?:\[Errno -?\d+\] )?(?P<reason>.*)$")
_REPLACEMENTS = (
    (
        re.compile(r"^(?:couldn't get a connection|pool initialization incomplete) after ([\d.]+) sec"),
        r"no connection within \1 s",
    ),
    (
        re.compile(r"^the connection is (?:closed|lost)|^connection socket closed|^SSL SYSCALL error: EOF detected"),
        "the connection was lost",
    ),
    (re.compile(r"^server closed the connection unexpectedly"), "the server closed the connection"),
    (re.compile(r"^connection timeout expired"), "no answer in time"),
)


def message_of(error: BaseException) -> str:
    """Return the error's message in one line. The message of an error that is not Postgres's is unchanged."""
    if not isinstance(error, psycopg.Error | PoolTimeout):
        return str(error)
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    if not lines:
        return type(error).__name__
    if error.sqlstate is None:
        return _driver_message(lines)
    return _SEVERITY.sub("", lines[0])


def _driver_message(lines: list[str]) -> str:
    """Return each address that was tried with its reason, or the first line if there is no address."""
    places = [place for line in lines if (place := _PLACE.search(line)) is not None]
    if places:
        return "; ".join(dict.fromkeys(map(_at, places)))
    said = _SEVERITY.sub("", _CALL.sub("", lines[0]))
    if (unknown := _HOST.match(said)) is not None:
        return f"{unknown['host']}: {unknown['reason']}"
    for pattern, ours in _REPLACEMENTS:
        if (found := pattern.match(said)) is not None:
            return found.expand(ours)
    return said.rstrip(".")


def _at(place: re.Match[str]) -> str:
    where = place["host"] + (f" port {place['port']}" if place["port"] else "")
    return f"{where}: {_SEVERITY.sub('', place['reason']).rstrip('.')}"
