"""The article itself: sections planned from an outline, written from phrases, until it is long enough."""

import re
from collections.abc import Sequence
from random import Random

from blogworker.simulator.writer.bank import sections
from blogworker.simulator.writer.grammar import Pen, upper_first
from blogworker.simulator.writer.headings import kind_of
from blogworker.simulator.writer.layout import Draft, blocks_of, words_in
from blogworker.simulator.writer.slots import slots_of
from blogworker.simulator.writer.subject import Subject

SHORTEST, LONGEST = 740, 1_040  # words; the goal is drawn between them
LISTS = {"choose": "look", "care": "care", "mistakes": "avoid", "pairing": "pair", "gift": "gift", "steps": ""}
FULL_LISTS = ("choose", "mistakes")  # titles promise five
SPECIAL = ("steps", "questions", "compare")
INNER_QUOTES = str.maketrans("“”", "\u2018\u2019")  # a quotation within a quotation


class Article:
    """Writes one article about a subject."""

    def __init__(self, subject: Subject, random: Random) -> None:
        self.subject = subject
        self.random = random
        self.pen = Pen(random, slots_of(subject))
        self._facts = list(subject.facts)
        self._used: set[str] = set()

    def markdown(self, outline: Sequence[str], plan: Sequence[str]) -> str:
        """The body, with the outline's headings; `plan` is used where a heading says nothing to us."""
        drafts = self._drafts(outline, plan)
        self._arrange_lists(drafts)
        self._arrange_subheadings(drafts)
        opening = self._opening()
        closing = self._closing()
        goal = self.random.randint(SHORTEST, LONGEST)
        turns = 0
        while words_in(opening, drafts, closing) < goal and turns < 60:
            draft = drafts[turns % len(drafts)]
            if sentence := self._sentence(draft.kind):
                draft.sentences.append(sentence)
            turns += 1
        self._place_quote(drafts, opening)
        blocks = [*opening, *(block for draft in drafts for block in blocks_of(draft)), *closing]
        return self._marked(blocks)

    def _drafts(self, outline: Sequence[str], plan: Sequence[str]) -> list[Draft]:
        drafts: list[Draft] = []
        spare = [kind for kind in plan if kind not in SPECIAL]
        for heading in outline:
            taken = {draft.kind for draft in drafts}
            kind = kind_of(heading) or next((k for k in spare if k not in taken), "why")
            drafts.append(self._section(kind, heading))
        for kind in plan:
            if len(drafts) >= 5:
                break
            if kind not in {draft.kind for draft in drafts}:
                drafts.append(self._section(kind, self.heading(kind)))
        while sum(draft.kind in LISTS for draft in drafts) < 2:
            kind = self.random.choice([k for k in LISTS if k not in {draft.kind for draft in drafts}])
            drafts.append(self._section(kind, self.heading(kind)))
        return drafts

    def heading(self, kind: str) -> str:
        return self.pen.write(self.random.choice(sections()[kind].headings))

    def _section(self, kind: str, heading: str) -> Draft:
        draft = Draft(kind, heading)
        count = 2 if kind in SPECIAL else self.random.randint(3, 4)
        draft.sentences = [sentence for _ in range(count) if (sentence := self._sentence(kind))]
        match kind:
            case "questions":
                draft.after = self._questions()
            case "compare":
                draft.after = [self._table()]
        return draft

    def _sentence(self, kind: str) -> str:
        """A sentence not used yet: half the time one that speaks of this very subject."""
        section = sections()[kind]
        own = section.for_things if self.subject.is_thing else section.for_topics
        for pool in (own, section.sentences) if self.random.random() < 0.5 else (section.sentences, own):
            fresh = [phrase for phrase in pool if phrase not in self._used and self._possible(phrase)]
            if fresh:
                phrase = self.random.choice(fresh)
                self._used.add(phrase)
                return self._written(phrase)
        return ""

    def _possible(self, phrase: str) -> bool:
        if "{fact}" in phrase:
            return bool(self._facts) and self.pen.knows(phrase.replace("{fact}", ""))
        return self.pen.knows(phrase)

    def _written(self, phrase: str) -> str:
        if "{fact}" not in phrase:
            return self.pen.write(phrase)
        fact = upper_first(self._facts.pop(0)).translate(INNER_QUOTES)
        ended = fact if fact[-1] in ".!?" else f"{fact}."
        return self.pen.write(phrase.replace("{fact}", "\0")).replace("\0", ended)

    def _arrange_lists(self, drafts: list[Draft]) -> None:
        """One ordered list and one or two with bullets."""
        able = [draft for draft in drafts if draft.kind in LISTS]
        steps = [draft for draft in able if draft.kind == "steps"]
        others = self.random.sample([d for d in able if d not in steps], min(2, len(able) - len(steps)))
        for draft in [*steps[:1], *others]:
            self._give_list(draft)
        if not steps:
            others[0].ordered = True

    def _give_list(self, draft: Draft) -> None:
        leads = sections()[draft.kind].leads
        draft.lead = self.pen.write(self.random.choice(leads)) if leads else ""
        theme = self.subject.theme
        if draft.kind == "steps":
            draft.entries, draft.ordered = [self.pen.write(step) for step in theme.steps], True
            return
        entries = list(theme.words[LISTS[draft.kind]])
        count = len(entries) if draft.kind in FULL_LISTS else self.random.randint(3, 4)
        chosen = self.random.sample(entries, min(len(entries), count))
        draft.entries = [upper_first(self.pen.fragment(entry)) for entry in chosen]

    def _arrange_subheadings(self, drafts: list[Draft]) -> None:
        """Questions bring headings of their own; without them one section is divided."""
        if any(draft.kind == "questions" for draft in drafts):
            return
        able = [d for d in drafts if len(sections()[d.kind].subheadings) >= 2]
        if not able:
            drafts[0].subheadings = ["At first glance", "On second thoughts"]
            return
        draft = self.random.choice(able)
        known = sections()[draft.kind].subheadings
        start = self.random.randrange(len(known) - 1)
        draft.subheadings = [self.pen.write(phrase) for phrase in known[start : start + 2]]

    def _questions(self) -> list[str]:
        asked = self.random.sample(self.subject.theme.questions, 3)
        return [block for question, answer in asked for block in (f"### {question}", self.pen.write(answer))]

    def _table(self) -> str:
        names = ("The simplest {noun}", "A well-made {noun}", "The finest {noun}")
        heads = self.random.choice(
            [("Option", "Best for", "You get"), ("Choice", "Suits", "Strong point"), ("What", "For whom", "What stays")]
        )
        rows: list[tuple[str, ...]] = [heads, ("---",) * 3]
        rows += [tuple(upper_first(self.pen.fragment(p)) for p in (name, "{who}", "{quality}")) for name in names]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _opening(self) -> list[str]:
        sentences = [self._sentence("intro") for _ in range(self.random.randint(4, 6))]
        own = [s for s in sentences if self.subject.phrase.lower() in s.lower()]
        if not own:
            own = [self.pen.write("This is about {the}, and about {quality}.")]
        others = [s for s in sentences if s and s not in own]
        # Scene first, then the subject by name.
        return [paragraph for paragraph in (" ".join(others), " ".join(own)) if paragraph]

    def _closing(self) -> list[str]:
        sentences = [sentence for _ in range(self.random.randint(3, 4)) if (sentence := self._sentence("close"))]
        if self.subject.url:
            sentences.insert(self.random.randrange(1, len(sentences) + 1), self._link())
        return [f"## {self.heading('close')}", " ".join(sentences)]

    def _link(self) -> str:
        page = self.random.choice(
            [
                "All details, sizes and the current price are on [the product page](URL).",
                "If you want to see more, [have a look at {the}](URL).",
                "You can find {the} [here](URL).",
            ]
        )
        choiceless = page.replace("[", "\1").replace("]", "\2")  # brackets mean a choice to the pen
        return self.pen.write(choiceless).replace("\1", "[").replace("\2", "]").replace("URL", self.subject.url)

    def _place_quote(self, drafts: list[Draft], opening: list[str]) -> None:
        quote = upper_first(self._facts.pop(0)) if self._facts else self._sentence("why") or self._sentence("close")
        quote = quote or self.pen.write("Start small, start {when}, and see what stays.")
        if self.random.random() < 0.3:
            opening.append(f"> {quote}")
        else:
            self.random.choice(drafts[: max(1, len(drafts) - 1)]).quote = quote

    def _marked(self, blocks: list[str]) -> str:
        """The text, with the subject in bold where it is first named, and something in italics."""
        text = "\n\n".join(blocks)
        name = self.subject.phrase.removeprefix("the ").removeprefix("a ")
        head, found, tail = text.partition(name)
        if found and not head.endswith(("*", "[", "“")) and "## " not in head:
            text = f"{head}**{found}**{tail}"
        if not re.search(r"(?<![*\w])\*(?!\*)[^*\n]+\*(?!\*)", text):
            text += self.pen.write("\n\n*Written for {who}.*")
        return text
