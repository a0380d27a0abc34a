"""Replace the settings of a running process: read its files again, or take those that another process sends."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

from blogworker.envfile import read, use_machine_file
from blogworker.section import CREDENTIALS, credential_name, variable
from blogworker.settings import Settings


def known_variables() -> frozenset[str]:
    """Return the environment variables of all settings."""
    return frozenset(
        variable(section, field) for section in get_type_hints(Settings).values() for field in section.model_fields
    )


def gather(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a process with this environment would read, those of its credentials included.

    Raises SettingsError if a credential cannot be read.
    """
    known = known_variables()
    found: dict[str, str] = {}
    folder = environment.get(CREDENTIALS)
    files = Path(folder).iterdir() if folder else ()
    for path in sorted(files, key=lambda path: -len(path.name)):  # the shortest name wins, as in `load`
        if (name := credential_name(path).upper()) in known:
            found[name] = read(path).strip()
    return found | {name.upper(): value for name, value in environment.items() if value and name.upper() in known}


def replace_all(delivered: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """Let the process read exactly these settings from now on, apart from a local `.env`."""
    known = known_variables()
    for name in [name for name in environment if name.upper() in known or name == CREDENTIALS]:
        del environment[name]
    environment.update({name: value for name, value in delivered.items() if name in known})


def read_file_again(names: frozenset[str], environment: MutableMapping[str, str]) -> frozenset[str]:
    """Read the machine's file again. `names`: the variables that it has set before. Return those that it sets now."""
    for name in names:
        environment.pop(name, None)
    return use_machine_file(environment)


@contextmanager
def unchanged_if_wrong() -> Iterator[None]:
    """Restore the environment when the block raises."""
    before = dict(os.environ)
    try:
        yield
    except BaseException:
        os.environ.clear()
        os.environ.update(before)
        raise
