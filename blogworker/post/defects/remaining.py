"""Finds the defects that remain in a finished post, and the facts that it states."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from blogworker.post.defects import claims, materials
from blogworker.post.defects.kind import READ, Defect, PostContext
from blogworker.post.defects.table import DEFECTS, SHOWN

FACTS = {  # kind -> the function that finds such facts, and the defect if the source does not have one
    "price": (claims.prices, "price not in the source"),
    "measure": (claims.measures, "measure not in the source"),
    "count": (claims.counts, "count not in the source"),
    "material": (materials.materials, "material not in the source"),
}
BEFORE = 20  # characters shown before what a repair would change


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect that remains: its field, and the text found there."""

    name: str
    field: str
    found: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that a post states about its subject."""

    kind: str
    field: str
    text: str
    in_source: bool


def remaining_findings(
    fields: Mapping[str, Any], *, source: Mapping[str, Any], idea: Mapping[str, Any], links: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what each defect finds, in the order of the table. Later defects do not find what one repairs."""
    context = PostContext(source, idea, title=str(fields.get("title") or ""), links=links)
    texts = {name: _texts(value) for name, value in fields.items()}
    for defect in DEFECTS:
        for name in sorted(defect.fields & texts.keys()):
            if found := next(filter(None, (_found(defect, text, context) for text in texts[name])), ""):
                yield Finding(defect.name, name, found[:SHOWN])
                texts[name] = [text if defect.repair is None else defect.repair(text, context) for text in texts[name]]


def facts(fields: Mapping[str, Any], *, source: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield each price, measure, count and material that a field states, once per field."""
    context = PostContext(source, {}, title=str(fields.get("title") or ""))
    for kind, (find, _) in FACTS.items():
        for name in sorted(READ & fields.keys()):
            found = [claim for text in _texts(fields[name]) for claim in find(text, context)]
            yield from dict.fromkeys(Fact(kind, name, claim.text, claim.in_source) for claim in found)


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _found(defect: Defect, text: str, context: PostContext) -> str:
    if defect.find is not None:
        return defect.find(text, context)
    repaired = text if defect.repair is None else defect.repair(text, context)
    if repaired == text:
        return ""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, repaired, strict=False)))
    return " ".join(text[max(0, same - BEFORE) : same + SHOWN].split()) or defect.name
