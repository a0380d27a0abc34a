"""A post of the wrong build: things twice, cut off, glued, in another language; a product unnamed or everywhere."""

import re

from blogworker.simulator.misbehaviours.draft import ENGLISH, NO_PROSE, SENTENCE_END, Draft, words_of, wrapped

OTHER = {ENGLISH: "de"}  # the language that a model slips into; from others it is English
ELSEWHERE = "https://www.home-review.example/guides"
CLOSING = 3  # blocks at the end of a post that stay in its language
KEPT = 0.5  # of its last sentence, where a post breaks off
HEADING = "## "


def foreign_link(draft: Draft) -> None:
    draft.change(0, lambda text: wrapped(text, lambda words: f"[{words}]({ELSEWHERE})"))


def second_link(draft: Draft) -> None:
    draft.change(-1, lambda text: wrapped(text, lambda words: f"[{words}]({draft.url})"))


def glued_table(draft: Draft) -> None:
    draft.body = "\n\n".join(
        block.replace("\n", " ") if block.startswith("|") else block for block in draft.blocks
    )  # fmt: skip


def paragraph_twice(draft: Draft) -> None:
    draft.body += f"\n\n{draft.blocks[draft.place(1)]}"


def section_twice(draft: Draft) -> None:
    starts = [place for place, block in enumerate(draft.blocks) if block.startswith(HEADING)]
    section = draft.blocks[starts[1] : starts[2]]
    draft.insert(starts[-1], *section)


def long_title(draft: Draft) -> None:
    draft.post["title"] += draft.said("longer")


def top_heading(draft: Draft) -> None:
    draft.insert(0, f"# {draft.post['title']}")


def unnamed(draft: Draft) -> None:
    for field in ("body_markdown", "title", "seo_title", "excerpt", "seo_description"):
        named = draft.post[field]
        for name in (str(draft.source.get("name")), draft.name):
            named = re.sub(re.escape(name), draft.said("thing"), named, flags=re.I)
        draft.post[field] = named


def everywhere(draft: Draft) -> None:
    def said(block: str) -> str:
        if NO_PROSE.match(block):
            return block
        again = draft.said("again")
        return " ".join(f"{sentence} {again}" for sentence in SENTENCE_END.split(block))

    draft.body = "\n\n".join(map(said, draft.blocks))


def label_headings(draft: Draft) -> None:
    starts = [place for place, block in enumerate(draft.blocks) if block.startswith(HEADING)]
    blocks = draft.blocks
    blocks[starts[-1]] = f"## {draft.said('label_last')}: {blocks[starts[-1]].removeprefix(HEADING)}"
    draft.body = "\n\n".join([f"## {draft.said('label_first')}", *blocks])


def wrong_language(draft: Draft) -> None:
    image = draft.post["image_prompt"]
    draft.post.update(draft.rewritten(OTHER.get(draft.language, ENGLISH)))
    draft.post["image_prompt"] = image


def half_translated(draft: Draft) -> None:
    """From the middle on, paragraphs in the other language."""
    other = words_of(OTHER.get(draft.language, ENGLISH)).get("prose") or _prose_of(draft)
    blocks = draft.blocks
    places = [place for place, block in enumerate(blocks) if not NO_PROSE.match(block) and "](" not in block]
    for place, text in zip(places[len(places) // 2 :], other, strict=False):
        blocks[place] = text
    draft.body = "\n\n".join(blocks)


def _prose_of(draft: Draft) -> list[str]:
    blocks = str(draft.rewritten(OTHER[ENGLISH])["body_markdown"]).split("\n\n")
    return [block for block in blocks if not NO_PROSE.match(block) and "](" not in block and draft.name not in block]


def broken_off(draft: Draft) -> None:
    """The post ends in the middle of its last sentence."""
    blocks = draft.blocks
    *others, last = SENTENCE_END.split(blocks[-1])
    words = last.split(" ")
    cut = " ".join(words[: max(2, int(len(words) * KEPT))]).rstrip(".,;:!? ")
    draft.body = "\n\n".join([*blocks[:-1], " ".join([*others, cut])])


def ends_on_a_promise(draft: Draft) -> None:
    draft.body += f"\n\n## {draft.post['title']}"


def sentence_without_end(draft: Draft) -> None:
    """A paragraph in the middle that breaks off."""
    draft.change(2, lambda text: f"{text} {draft.said('gap')[:1].upper()}{draft.said('gap')[1:]}")
