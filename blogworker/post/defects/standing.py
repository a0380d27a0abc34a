"""The same table of defects, asked what stands in a finished post, and which facts the post states."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from blogworker.post.defects import claims, materials
from blogworker.post.defects.kind import READ, Defect, Known
from blogworker.post.defects.table import DEFECTS, SHOWN

FACTS = {  # of each kind: how they are found, and the defect that one is which the source does not hold
    "price": (claims.prices, "price not in the source"),
    "measure": (claims.measures, "measure not in the source"),
    "count": (claims.counts, "count not in the source"),
    "material": (materials.materials, "material not in the source"),
}
BEFORE = 20  # characters shown before what a repair would change


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect that stands: the field that has it, and what was found there."""

    name: str
    field: str
    found: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What a post states of its subject, and whether the source holds it."""

    kind: str
    field: str
    told: str
    held: bool


def standing(
    fields: Mapping[str, Any], *, source: Mapping[str, Any], idea: Mapping[str, Any], links: Mapping[str, str]
) -> Iterator[Finding]:
    """What each defect of the table finds, in its order: what one would repair is not found again by those after it."""
    known = Known(source, idea, title=str(fields.get("title") or ""), links=links)
    left = {name: _texts(value) for name, value in fields.items()}
    for defect in DEFECTS:
        for name in sorted(defect.fields & left.keys()):
            if found := next(filter(None, (_found(defect, text, known) for text in left[name])), ""):
                yield Finding(defect.name, name, found[:SHOWN])
                left[name] = [text if defect.repair is None else defect.repair(text, known) for text in left[name]]


def facts(fields: Mapping[str, Any], *, source: Mapping[str, Any]) -> Iterator[Fact]:
    """Every price, measure, count and material that a field states, each once a field."""
    known = Known(source, {}, title=str(fields.get("title") or ""))
    for kind, (claimed, _) in FACTS.items():
        for name in sorted(READ & fields.keys()):
            told = [claim for text in _texts(fields[name]) for claim in claimed(text, known)]
            yield from dict.fromkeys(Fact(kind, name, claim.told, claim.held) for claim in told)


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _found(defect: Defect, text: str, known: Known) -> str:
    if defect.find is not None:
        return defect.find(text, known)
    repaired = text if defect.repair is None else defect.repair(text, known)
    if repaired == text:
        return ""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, repaired, strict=False)))
    return " ".join(text[max(0, same - BEFORE) : same + SHOWN].split()) or defect.name
