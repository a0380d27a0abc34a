"""Sections laid out as markdown blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Draft:
    """One section being written."""

    kind: str
    heading: str
    sentences: list[str] = field(default_factory=list)
    lead: str = ""
    entries: list[str] = field(default_factory=list)  # of its list
    ordered: bool = False
    quote: str = ""
    after: list[str] = field(default_factory=list)  # blocks that follow the text
    subheadings: list[str] = field(default_factory=list)


def words_in(*parts: object) -> int:
    """Words in texts, blocks and drafts."""
    total = 0
    for part in parts:
        match part:
            case str():
                total += len(part.split())
            case Draft():
                total += words_in(part.heading, part.sentences, part.lead, part.entries, part.after, part.subheadings)
            case list():
                total += words_in(*part)
    return total


def blocks_of(draft: Draft) -> list[str]:
    """A section as markdown blocks."""
    paragraphs = _paragraphs(draft.sentences)
    blocks = [f"## {draft.heading}", paragraphs[0]] if paragraphs else [f"## {draft.heading}"]
    rest = paragraphs[1:]
    if draft.subheadings and len(rest) >= 1:
        first, second = draft.subheadings
        blocks += [f"### {first}", rest[0]]
        rest = rest[1:]
        if rest:
            blocks += [f"### {second}", *rest]
            rest = []
    if draft.quote:
        blocks.append(f"> {draft.quote}")
    if draft.entries:
        marks = [f"{n}." if draft.ordered else "-" for n in range(1, len(draft.entries) + 1)]
        lines = [f"{mark} {entry}" for mark, entry in zip(marks, draft.entries, strict=True)]
        blocks += [draft.lead, "\n".join(lines)] if draft.lead else ["\n".join(lines)]
    return [*blocks, *rest, *draft.after]


def _paragraphs(sentences: Sequence[str]) -> list[str]:
    """Sentences in paragraphs of two or three."""
    size = 2 if len(sentences) % 3 == 1 or len(sentences) <= 4 else 3
    groups = [list(sentences[start : start + size]) for start in range(0, len(sentences), size)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        last = groups.pop()
        groups[-1] += last
    return [" ".join(group) for group in groups]
