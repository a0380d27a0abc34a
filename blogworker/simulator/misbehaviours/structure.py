"""Faults of the structure of a post: repeated or truncated parts, wrong language, no or too many names."""

import re

from blogworker.simulator.misbehaviours.draft import ENGLISH, NOT_PROSE, SENTENCE_END, Draft, phrases_of, wrap_words

OTHER_LANGUAGE = {ENGLISH: "de"}  # by the language of the post; default English
ELSEWHERE = "https://www.home-review.example/guides"
KEPT_SHARE = 0.5  # of the last sentence of a truncated post
HEADING = "## "


def foreign_link(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: wrap_words(text, lambda words: f"[{words}]({ELSEWHERE})"))


def second_link(draft: Draft) -> None:
    draft.change_paragraph(-1, lambda text: wrap_words(text, lambda words: f"[{words}]({draft.url})"))


def glued_table(draft: Draft) -> None:
    draft.body = "\n\n".join(
        block.replace("\n", " ") if block.startswith("|") else block for block in draft.blocks
    )  # fmt: skip


def paragraph_twice(draft: Draft) -> None:
    draft.body += f"\n\n{draft.blocks[draft.paragraph_index(1)]}"


def section_twice(draft: Draft) -> None:
    starts = [index for index, block in enumerate(draft.blocks) if block.startswith(HEADING)]
    section = draft.blocks[starts[1] : starts[2]]
    draft.insert(starts[-1], *section)


def long_title(draft: Draft) -> None:
    draft.post["title"] += draft.phrase("longer")


def top_heading(draft: Draft) -> None:
    draft.insert(0, f"# {draft.post['title']}")


def unnamed(draft: Draft) -> None:
    for field in ("body_markdown", "title", "seo_title", "excerpt", "seo_description"):
        text = draft.post[field]
        for name in (str(draft.source.get("name")), draft.name):
            text = re.sub(re.escape(name), draft.phrase("thing"), text, flags=re.I)
        draft.post[field] = text


def everywhere(draft: Draft) -> None:
    def with_name(block: str) -> str:
        if NOT_PROSE.match(block):
            return block
        again = draft.phrase("again")
        return " ".join(f"{sentence} {again}" for sentence in SENTENCE_END.split(block))

    draft.body = "\n\n".join(map(with_name, draft.blocks))


def label_headings(draft: Draft) -> None:
    starts = [index for index, block in enumerate(draft.blocks) if block.startswith(HEADING)]
    blocks = draft.blocks
    blocks[starts[-1]] = f"## {draft.phrase('label_last')}: {blocks[starts[-1]].removeprefix(HEADING)}"
    draft.body = "\n\n".join([f"## {draft.phrase('label_first')}", *blocks])


def wrong_language(draft: Draft) -> None:
    image = draft.post["image_prompt"]
    draft.post.update(draft.write_in(OTHER_LANGUAGE.get(draft.language, ENGLISH)))
    draft.post["image_prompt"] = image


def half_translated(draft: Draft) -> None:
    """The second half of the paragraphs is in another language."""
    other = phrases_of(OTHER_LANGUAGE.get(draft.language, ENGLISH)).get("prose") or _translated_paragraphs(draft)
    blocks = draft.blocks
    indexs = [index for index, block in enumerate(blocks) if not NOT_PROSE.match(block) and "](" not in block]
    for index, text in zip(indexs[len(indexs) // 2 :], other, strict=False):
        blocks[index] = text
    draft.body = "\n\n".join(blocks)


def _translated_paragraphs(draft: Draft) -> list[str]:
    blocks = str(draft.write_in(OTHER_LANGUAGE[ENGLISH])["body_markdown"]).split("\n\n")
    return [block for block in blocks if not NOT_PROSE.match(block) and "](" not in block and draft.name not in block]


def broken_off(draft: Draft) -> None:
    """The post ends in the middle of its last sentence."""
    blocks = draft.blocks
    *others, last = SENTENCE_END.split(blocks[-1])
    words = last.split(" ")
    cut = " ".join(words[: max(2, int(len(words) * KEPT_SHARE))]).rstrip(".,;:!? ")
    draft.body = "\n\n".join([*blocks[:-1], " ".join([*others, cut])])


def heading_without_text(draft: Draft) -> None:
    draft.body += f"\n\n## {draft.post['title']}"


def sentence_without_end(draft: Draft) -> None:
    """A paragraph in the middle ends within a sentence."""
    draft.change_paragraph(2, lambda text: f"{text} {draft.phrase('gap')[:1].upper()}{draft.phrase('gap')[1:]}")
