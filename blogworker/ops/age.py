"""Reads how old something may be, as people type it."""

import re

from blogworker.errors import SettingsError

AGE = re.compile(r"(\d+(?:[.]\d+)?)\s*(s|min|h|d)?", re.ASCII)
LONGEST_S = 100 * 366 * 86_400
SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


def seconds(age: str) -> float:
    """Return the seconds of "90s", "30min", "12h" or "7d". A number without a unit means seconds."""
    match = AGE.fullmatch(age.strip())
    if match is None:
        raise SettingsError(f"{age!r} is not a duration: use a number with s, min, h or d, for example 12h")
    wanted = float(match[1]) * SECONDS[match[2] or "s"]
    if wanted > LONGEST_S:
        raise SettingsError(f"{age!r} is longer than a hundred years")
    return wanted
