"""Headings: which kind of section one of them announces."""

import re
from functools import cache

from blogworker.simulator.writer.bank import sections

_SLOT_OR_CHOICE = re.compile(r"\{\w+\}|\[[^\[\]]*\]")


@cache
def _heading_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    found = []
    for section in sections().values():
        found += [(heading, section.name) for heading in section.headings]
    # The most literal first: a heading that is mostly slots would claim what others say exactly.
    found.sort(key=lambda entry: -len(_SLOT_OR_CHOICE.sub("", entry[0])))
    return tuple((_pattern(heading), name) for heading, name in found)


def _pattern(heading: str) -> re.Pattern[str]:
    parts, end = [], 0
    for match in _SLOT_OR_CHOICE.finditer(heading):
        parts += [re.escape(heading[end : match.start()]), _alternatives(match[0])]
        end = match.end()
    return re.compile("".join([*parts, re.escape(heading[end:])]), re.IGNORECASE)


def _alternatives(slot: str) -> str:
    if slot.startswith("{"):
        return ".+"
    return f"(?:{'|'.join(_SLOT_OR_CHOICE.sub('.+', re.escape(option)) for option in slot[1:-1].split('|'))})"


def kind_of(heading: str) -> str:
    """Which kind of section a heading announces; empty when it is none of ours."""
    return next((kind for pattern, kind in _heading_patterns() if pattern.fullmatch(heading)), "")
