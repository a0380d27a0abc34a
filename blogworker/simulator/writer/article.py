"""The article: an opening, the sections of its angle, what the shop says about a product, a closing."""

import re
from collections.abc import Mapping, Sequence
from random import Random

from blogworker.simulator.writer.grammar import Pen, upper_first
from blogworker.simulator.writer.kinds import ENGLISH, PRODUCT, Angle, Section, goods
from blogworker.simulator.writer.subject import Subject, slots_of

MORE = {True: 2, False: 3}  # sections besides those of the angle, with and without one about a product
MOST_QUOTED, MOST_FEATURES = 2, 8
OWN_RECORD = 3  # facts that a description names, from which on a kind's own words about them fit
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-zß-ÿ]|[“{*¿])")
_LISTED = re.compile(r"^(?:[-|>]|\d+\. )")
INNER_QUOTES = str.maketrans("„“”", "\u201a\u2018\u2019")  # a quotation within a quotation


class Article:
    """Writes one article about a subject."""

    def __init__(self, subject: Subject, random: Random) -> None:
        self.subject = subject
        self.random = random
        self.pen = Pen(random, slots_of(subject), is_english=subject.language == ENGLISH)

    @property
    def said(self) -> Mapping[str, str]:
        """Words around the facts of a product, in its language."""
        return {**goods()[self.subject.language].said, **self.subject.kind.said}

    def plan(self, angle: Angle) -> list[str]:
        """The names of the sections: those of the angle, with the product's after the first, and some others."""
        kind, answer = self.subject.kind, self.subject.answer
        first = answer.first if answer is not None and answer.angle == angle.name else ""
        own = sorted(angle.sections, key=lambda name: name != first)
        told = self.subject.is_product and PRODUCT in kind.sections
        others = [name for name in kind.bodies if name not in own]
        chosen = self.random.sample(others, min(len(others), MORE[told]))
        more = sorted(chosen, key=others.index)
        return [*own[:1], *([PRODUCT] if told else []), *own[1:], *more]

    def heading(self, name: str) -> str:
        return self.pen.write(self.random.choice(self.subject.kind.sections[name].headings))

    def named(self, heading: str) -> str:
        """The name of the section with this heading; empty if there is none."""
        for name, section in self.subject.kind.sections.items():
            if any(self.pen.write(known) == heading for known in section.headings if self.pen.knows(known)):
                return name
        return ""

    def markdown(self, angle: Angle, outline: Sequence[tuple[str, str]], further: str = "") -> str:
        """The body. `outline`: headings, each with the name of its section; `further`: the last paragraph before the
        closing."""
        blocks = self._opening(angle)
        for heading, name in outline:
            blocks += [f"## {heading}", *self._section(self.subject.kind.sections[name])]
        return self._marked([*blocks, *([further] if further else []), *self._closing()])

    def _section(self, section: Section) -> list[str]:
        if section.name != PRODUCT:
            return self._blocks(section.blocks)
        if len(self.subject.record) < OWN_RECORD:  # what a kind says of the lines of a record needs one
            section = goods()[self.subject.language].sections[PRODUCT]
        told = [*self._record(), *self._features(), *self._quotation()]
        return [*self._blocks(section.blocks[:1]), *told, *self._blocks(section.blocks[1:]), *self._link()]

    def _blocks(self, blocks: Sequence[str]) -> list[str]:
        return [text for block in blocks if (text := self._block(block))]

    def _block(self, block: str) -> str:
        """A paragraph without the sentences whose slots are not known."""
        if _LISTED.match(block):
            return "\n".join(self.pen.write(line) for line in block.split("\n") if self.pen.knows(line))
        sentences = [part for part in _SENTENCE_END.split(" ".join(block.split("\n"))) if self.pen.knows(part)]
        return self.pen.write(" ".join(sentences)) if sentences else ""

    def _record(self) -> list[str]:
        told = {**self.subject.record, **self.subject.facts}
        rows = [f"| {label} | {upper_first(value)} |" for label, value in told.items()]
        head = f"| {self.subject.vendor or self.said['facts']} | {self.subject.name} |"
        return ["\n".join([head, "| --- | --- |", *rows])] if rows else []

    def _features(self) -> list[str]:
        lines = [f"- {upper_first(line)}" for line in self.subject.features[:MOST_FEATURES]]
        return ["\n".join(lines)] if len(lines) > 1 else lines

    def _quotation(self) -> list[str]:
        told = [upper_first(sentence).translate(INNER_QUOTES) for sentence in self.subject.told[:MOST_QUOTED]]
        return [f"> {' '.join(told)}"] if told else []

    def _link(self) -> list[str]:
        if not self.subject.url:
            return []
        return [self.said["link"].format(name=self.subject.name, url=self.subject.url)]

    def _opening(self, angle: Angle) -> list[str]:
        answer = self.subject.answer
        if answer is not None and answer.angle == angle.name:
            return [self.pen.write(answer.text)]
        usable = [text for intro in angle.intros if (text := self._block(intro))]
        return [self.random.choice(usable)]

    def _closing(self) -> list[str]:
        section = self.random.choice(self.subject.kind.closings)
        return [f"## {self.pen.write(self.random.choice(section.headings))}", *self._section(section)]

    def _marked(self, blocks: Sequence[str]) -> str:
        """The text, with the subject in bold where a paragraph first names it."""
        name = self.subject.phrase.removeprefix("the ").removeprefix("a ")
        for place, block in enumerate(blocks):
            if name in block and not re.match(r"[#|>-]", block) and "](" not in block:
                marked = block.replace(name, f"**{name}**", 1)
                return "\n\n".join([*blocks[:place], marked, *blocks[place + 1 :]])
        return "\n\n".join(blocks)
