"""Reads the settings file of the systemd units, which commands on a terminal read too.

The file is parsed like an `EnvironmentFile=` of systemd, so that a worker and `blogworker status` see the same values:
`$` is not expanded, and a comment is on its own line.
"""

import os
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from blogworker.errors import SettingsError

NAMED_BY = "BLOGWORKER_ENV_FILE"
MACHINE_FILE = Path("/etc/blogworker/blogworker.env")
LOCAL_FILE = Path(".env")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SETS_NOTHING = re.compile(r"\s*[#;][^\n\r]*[\n\r]?|[^=\n\r]*(?:[\n\r]|\Z)")
LINE = re.compile(
    r"""
    \s*(?P<name>[^=\n\r]*?)[ \t]*=
    (?P<quoted>(?:[ \t]*(?:'[^']*(?:'|\Z)|"(?:\\.|[^"\\])*(?:"|\Z)))*)
    [ \t]*(?P<bare>(?:\\.|[^\\\n\r])*)[\n\r]?
    """,
    re.VERBOSE | re.DOTALL,
)
QUOTED = re.compile(r"""'(?P<single>[^']*)(?:'|\Z)|"(?P<double>(?:\\.|[^"\\])*)(?:"|\Z)""", re.DOTALL)


def use_machine_file(environment: MutableMapping[str, str]) -> frozenset[str]:
    """Add the machine's settings to the environment, without overriding it or a local `.env`. Return their names.
    BLOGWORKER_ENV_FILE names another file; if it is empty, no file is read.

    Raises SettingsError when a file named there cannot be read. The default file may be readable by root only, so it
    is skipped then.
    """
    named = environment.get(NAMED_BY)
    if named == "":
        return frozenset()
    try:
        text = read(Path(named)) if named else read(MACHINE_FILE)
    except SettingsError as error:
        if named:
            raise SettingsError(f"{NAMED_BY}: {error}") from error
        return frozenset()
    overriding = {name.upper() for name in (*environment, *local_values())}
    added = {name: value for name, value in parse(text).items() if name.upper() not in overriding}
    environment.update(added)
    return frozenset(added)


def local_file() -> Path | None:
    """Return the path of `.env` in the current folder, or None. Raises SettingsError if it cannot be read."""
    try:
        exists = LOCAL_FILE.is_file()
    except PermissionError:
        return None  # the current folder may be one that this user cannot enter, such as /root
    if exists:
        read(LOCAL_FILE)
    return LOCAL_FILE if exists else None


def local_values() -> Mapping[str, str | None]:
    """Return the variables that the local `.env` sets."""
    return {} if (path := local_file()) is None else dotenv_values(path)


def unreadable_hint() -> str:
    """Return a hint for a missing setting: it may be in the machine's file, which this user cannot read."""
    if os.environ.get(NAMED_BY) is None:
        try:
            read(MACHINE_FILE)
        except SettingsError as error:
            return "" if isinstance(error.__cause__, FileNotFoundError) else f" ({error})"
    return ""


def read(path: Path) -> str:
    """Return the text of a file. Raises SettingsError, with one line, if it cannot be read."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8") from error
    if "\0" in text:
        raise SettingsError(f"{path} is not text: it contains a NUL byte")
    return text


def parse(text: str) -> dict[str, str]:
    """Return the variables of an environment file. The last value of a name wins; other lines are skipped."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = SETS_NOTHING.match(text, at) or LINE.match(text, at)
        if match is None:
            break
        if match.re is LINE and NAME.fullmatch(match["name"]):
            found[match["name"]] = "".join(map(_unquoted, QUOTED.finditer(match["quoted"]))) + _bare(match["bare"])
        at = match.end()
    return found


def _unquoted(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"]
    # Within double quotes a backslash escapes these four characters and a line break; before others it is literal.
    return re.sub(r"\\([\"\\`$\n])", lambda escaped: escaped[1].strip("\n"), match["double"])


def _bare(text: str) -> str:
    """Return an unquoted value without trailing blanks, unless they are escaped."""
    trimmed = re.sub(r"((?:\\.|[^\\])*?)[ \t]*\Z", r"\1", text, count=1, flags=re.DOTALL)
    return re.sub(r"\\(.)", lambda escaped: escaped[1].strip("\n\r"), trimmed, flags=re.DOTALL)
