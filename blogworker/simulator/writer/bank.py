"""The writer's word lists and phrases, read once from the text files beside this module."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

Lists = Mapping[str, tuple[str, ...]]
ALTERNATIVES = " / "


@dataclass(frozen=True, slots=True)
class Theme:
    """A subject matter with its words."""

    name: str
    noun: str
    nouns: frozenset[str]  # words for the thing itself; they decide most
    hints: frozenset[str]
    words: Lists  # the alternatives of each slot
    steps: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Angle:
    """One way to write about a subject."""

    name: str
    about: str
    audiences: tuple[str, ...]
    intent: str
    titles: tuple[str, ...]
    answers: tuple[str, ...]  # follow a question in a title
    sections: tuple[str, ...]
    suits: str  # `things`, `nouns` or everything


@dataclass(frozen=True, slots=True)
class Section:
    """The phrases of one kind of section."""

    name: str
    headings: tuple[str, ...]
    sentences: tuple[str, ...]
    for_things: tuple[str, ...]
    for_topics: tuple[str, ...]
    leads: tuple[str, ...]
    subheadings: tuple[str, ...]


@cache
def themes() -> Mapping[str, Theme]:
    return {name: _theme(name, entries) for name, entries in _blocks("vocabulary.txt", r"\[(\w+)\]").items()}


@cache
def portions() -> Mapping[str, str]:
    """What one speaks of instead of a substance: `coffee` -> `cup of coffee`."""
    return dict(_pairs(_lines("portions.txt")))


@cache
def angles() -> Mapping[str, Angle]:
    return {name: _angle(name, entries) for name, entries in _blocks("angles.txt", r"\[(\w+)\]").items()}


@cache
def sections() -> Mapping[str, Section]:
    return {name: _section(name, lines) for name, lines in _blocks("phrases.txt", r"== (\w+)").items()}


def _blocks(file: str, head: str) -> dict[str, list[str]]:
    """The lines under each head."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _lines(file):
        if match := re.fullmatch(head, line):
            lines = found.setdefault(match[1], [])
        else:
            lines.append(line)
    return found


def _lines(file: str) -> list[str]:
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(ALTERNATIVES))


def _theme(name: str, lines: list[str]) -> Theme:
    pairs = _pairs(lines)
    plain = dict(pairs)
    asked = [value.partition(" > ") for key, value in pairs if key == "ask"]
    slots = ("where", "when", "material", "quality", "look", "care", "avoid", "adj", "pair", "who", "sense", "gift")
    return Theme(
        name=name,
        noun=plain["noun"],
        nouns=frozenset(plain["nouns"].split()),
        hints=frozenset(plain["hints"].split()),
        words={slot: _split(plain[slot]) for slot in slots},
        steps=_split(plain["steps"]),
        questions=tuple((question, answer) for question, _, answer in asked),
    )


def _angle(name: str, lines: list[str]) -> Angle:
    plain = dict(_pairs(lines))
    return Angle(
        name=name,
        about=plain["about"],
        audiences=_split(plain["for"]),
        intent=plain["intent"],
        titles=_split(plain["title"]),
        answers=_split(plain["asked"]),
        sections=tuple(plain["sections"].split()),
        suits=plain.get("suits", ""),
    )


def _section(name: str, lines: list[str]) -> Section:
    def marked(mark: str) -> tuple[str, ...]:
        return tuple(line[2:] for line in lines if line.startswith(f"{mark} "))

    return Section(name, marked("h"), marked("s"), marked("p"), marked("k"), marked("l"), marked("u"))
