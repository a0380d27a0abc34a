"""The body of an article: introduction, the sections of its angle, the facts of the product, closing section."""

import re
from collections.abc import Mapping, Sequence
from random import Random

from blogworker.simulator.writer.grammar import PhraseFiller, upper_first
from blogworker.simulator.writer.kinds import ENGLISH, PRODUCT, Angle, Section, goods
from blogworker.simulator.writer.subject import Subject, slots_of

EXTRA_SECTIONS = {True: 2, False: 3}  # besides those of the angle; key: whether there is a section about the product
MOST_QUOTED, MOST_FEATURES = 2, 8
ENOUGH_FACTS = 3  # in a description, for the section of the kind about them
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-zß-ÿ]|[“{*¿])")
_LISTED = re.compile(r"^(?:[-|>]|\d+\. )")
INNER_QUOTES = str.maketrans("„“”", "\u201a\u2018\u2019")  # for a quotation within a quotation


class Article:
    """Writes one article about a subject."""

    def __init__(self, subject: Subject, random: Random) -> None:
        self.subject = subject
        self.random = random
        self.filler = PhraseFiller(random, slots_of(subject), is_english=subject.language == ENGLISH)

    @property
    def phrases(self) -> Mapping[str, str]:
        """The phrases around the facts of a product, in its language."""
        return {**goods()[self.subject.language].phrases, **self.subject.kind.phrases}

    def plan(self, angle: Angle) -> list[str]:
        """The names of the sections: those of the angle, the one about the product as the second, and some others."""
        kind, answer = self.subject.kind, self.subject.answer
        first = answer.first_section if answer is not None and answer.angle == angle.name else ""
        own = sorted(angle.sections, key=lambda name: name != first)
        has_product = self.subject.is_product and PRODUCT in kind.sections
        others = [name for name in kind.bodies if name not in own]
        chosen = self.random.sample(others, min(len(others), EXTRA_SECTIONS[has_product]))
        more = sorted(chosen, key=others.index)
        return [*own[:1], *([PRODUCT] if has_product else []), *own[1:], *more]

    def heading(self, name: str) -> str:
        return self.filler.fill(self.random.choice(self.subject.kind.sections[name].headings))

    def section_name(self, heading: str) -> str:
        """The name of the section with this heading; empty if it is unknown."""
        for name, section in self.subject.kind.sections.items():
            if any(self.filler.fill(known) == heading for known in section.headings if self.filler.can_fill(known)):
                return name
        return ""

    def markdown(self, angle: Angle, outline: Sequence[tuple[str, str]], related_link: str = "") -> str:
        """The body. `outline`: pairs of heading and name of section; `related_link`: a paragraph before the closing."""
        blocks = self._opening(angle)
        for heading, name in outline:
            blocks += [f"## {heading}", *self._section(self.subject.kind.sections[name])]
        return self._with_bold_name([*blocks, *([related_link] if related_link else []), *self._closing()])

    def _section(self, section: Section) -> list[str]:
        if section.name != PRODUCT:
            return self._blocks(section.blocks)
        if (
            len(self.subject.description_facts) < ENOUGH_FACTS
        ):  # the section of the kind refers to the rows of the table
            section = goods()[self.subject.language].sections[PRODUCT]
        facts = [*self._fact_table(), *self._feature_list(), *self._quotation()]
        return [*self._blocks(section.blocks[:1]), *facts, *self._blocks(section.blocks[1:]), *self._link()]

    def _blocks(self, blocks: Sequence[str]) -> list[str]:
        return [text for block in blocks if (text := self._block(block))]

    def _block(self, block: str) -> str:
        """A block with its slots filled, without the sentences that have unknown slots."""
        if _LISTED.match(block):
            return "\n".join(self.filler.fill(line) for line in block.split("\n") if self.filler.can_fill(line))
        sentences = [part for part in _SENTENCE_END.split(" ".join(block.split("\n"))) if self.filler.can_fill(part)]
        return self.filler.fill(" ".join(sentences)) if sentences else ""

    def _fact_table(self) -> list[str]:
        facts = {**self.subject.description_facts, **self.subject.source_facts}
        rows = [f"| {label} | {upper_first(value)} |" for label, value in facts.items()]
        head = f"| {self.subject.vendor or self.phrases['facts']} | {self.subject.name} |"
        return ["\n".join([head, "| --- | --- |", *rows])] if rows else []

    def _feature_list(self) -> list[str]:
        lines = [f"- {upper_first(line)}" for line in self.subject.features[:MOST_FEATURES]]
        return ["\n".join(lines)] if len(lines) > 1 else lines

    def _quotation(self) -> list[str]:
        quoted = [upper_first(sentence).translate(INNER_QUOTES) for sentence in self.subject.sentences[:MOST_QUOTED]]
        return [f"> {' '.join(quoted)}"] if quoted else []

    def _link(self) -> list[str]:
        if not self.subject.url:
            return []
        return [self.phrases["link"].format(name=self.subject.name, url=self.subject.url)]

    def _opening(self, angle: Angle) -> list[str]:
        answer = self.subject.answer
        if answer is not None and answer.angle == angle.name:
            return [self.filler.fill(answer.text)]
        usable = [text for intro in angle.intros if (text := self._block(intro))]
        return [self.random.choice(usable)]

    def _closing(self) -> list[str]:
        section = self.random.choice(self.subject.kind.closings)
        return [f"## {self.filler.fill(self.random.choice(section.headings))}", *self._section(section)]

    def _with_bold_name(self, blocks: Sequence[str]) -> str:
        """Join the blocks. The first mention of the subject in a paragraph is bold."""
        name = self.subject.phrase.removeprefix("the ").removeprefix("a ")
        whole = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        for place, block in enumerate(blocks):
            if whole.search(block) and not re.match(r"[#|>-]", block) and "](" not in block:
                marked = whole.sub(lambda found: f"**{found[0]}**", block, count=1)
                return "\n\n".join([*blocks[:place], marked, *blocks[place + 1 :]])
        return "\n\n".join(blocks)
