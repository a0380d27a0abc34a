"""The file that the units of systemd take their settings from, read for commands that a person types as well.

It is read as systemd reads an `EnvironmentFile=`, so that a worker and `blogworker status` mean the same by it: no
expansion of `$`, no comment behind a value, quotes only around one.
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


def use_machine_file(environment: MutableMapping[str, str]) -> None:
    """Lay the machine's settings under the environment and under a `.env` here. BLOGWORKER_ENV_FILE names another file;
    empty: none.

    Raises SettingsError when a file that was named cannot be read. The default one may be root's, and all that is
    needed may stand elsewhere.
    """
    named = environment.get(NAMED_BY)
    if named == "":
        return
    try:
        text = read(Path(named)) if named else read(MACHINE_FILE)
    except SettingsError as error:
        if named:
            raise SettingsError(f"{NAMED_BY}: {error}") from error
        return
    nearer = {name.upper() for name in (*environment, *local_values())}
    environment.update({name: value for name, value in parse(text).items() if name.upper() not in nearer})


def local_file() -> Path | None:
    """`.env` of the current folder, if there is one. Raises SettingsError when it cannot be read."""
    try:
        there = LOCAL_FILE.is_file()
    except PermissionError:
        return None  # a folder that may not be entered, such as root's, says nothing to this user
    if there:
        read(LOCAL_FILE)
    return LOCAL_FILE if there else None


def local_values() -> Mapping[str, str | None]:
    """What that file sets."""
    return {} if (path := local_file()) is None else dotenv_values(path)


def unread() -> str:
    """What to add where a setting is missing: it may stand in a file that this user may not read."""
    if os.environ.get(NAMED_BY) is None:
        try:
            read(MACHINE_FILE)
        except SettingsError as error:
            return "" if isinstance(error.__cause__, FileNotFoundError) else f" ({error})"
    return ""


def read(path: Path) -> str:
    """The text of a file. Raises SettingsError in one line when there is none to be had."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8") from error
    if "\0" in text:
        raise SettingsError(f"{path} is not text: it holds a NUL byte")
    return text


def parse(text: str) -> dict[str, str]:
    """The variables of an environment file, the last of a name. Lines that set none are passed over."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = SETS_NOTHING.match(text, place) or LINE.match(text, place)
        if match is None:
            break
        if match.re is LINE and NAME.fullmatch(match["name"]):
            found[match["name"]] = "".join(map(_unquoted, QUOTED.finditer(match["quoted"]))) + _bare(match["bare"])
        place = match.end()
    return found


def _unquoted(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"]
    # Within double quotes a backslash escapes these four, and a line break; it stands for itself before all else.
    return re.sub(r"\\([\"\\`$\n])", lambda escaped: escaped[1].strip("\n"), match["double"])


def _bare(text: str) -> str:
    """Without the blanks behind it, unless they are escaped."""
    kept = re.sub(r"((?:\\.|[^\\])*?)[ \t]*\Z", r"\1", text, count=1, flags=re.DOTALL)
    return re.sub(r"\\(.)", lambda escaped: escaped[1].strip("\n\r"), kept, flags=re.DOTALL)
