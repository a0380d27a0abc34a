"""Ways in which a model misbehaves, planted in a good answer. Each is a kind of fault of the OpenAI simulator:

    {"kind": "footnotes", "vendor": "openai"}                       the draft has footnotes, the repair has none
    {"kind": "footnotes", "vendor": "openai", "stubborn": true}     the repair has them again

What is planted is in the language of the post. A call that asks for a repair is answered well where the faults that it
lists name what was planted (`named`); where they do not, the model does not know what to mend, and does it again.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.simulator.misbehaviours import marks, sayings, shapes
from blogworker.simulator.misbehaviours.draft import ENGLISH, Draft
from blogworker.simulator.writer.subject import tagged_json

__all__ = ["MISBEHAVIOURS", "Misbehaviour", "misbehaved"]

FAULTS = re.compile(r"<faults>\n(.*?)\n</faults>", re.S)
TO_FILL_IN = "place to fill in|template|filler"
REMARK = "its writer|the answer|instructions"


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One way to spoil a post."""

    name: str
    does: str
    fields: str
    spoil: Callable[[Draft], None]
    named: str = "."  # a pattern for the faults that tell a model what to mend
    of_product: str = ""  # what a product's source must have for it to make sense


def _all(*rows: Misbehaviour) -> Mapping[str, Misbehaviour]:
    return {row.name: row for row in rows}


MISBEHAVIOURS = _all(
    Misbehaviour("footnotes", "footnote marks and their notes", "body", marks.footnotes),
    Misbehaviour("citations", "marks of a search tool", "body, excerpt", marks.citations),
    Misbehaviour("bracketed_sources", "((1)), (source 3)", "body", marks.bracketed_sources),
    Misbehaviour("reference_links", "links by reference, without a target", "body", marks.reference_links),
    Misbehaviour("strikethrough", "struck-out words", "body, excerpt", marks.strikethrough),
    Misbehaviour("task_list", "a list of tasks", "body", marks.task_list),
    Misbehaviour("code_fence", "the body in a code fence", "body", marks.code_fence),
    Misbehaviour("answer_in_body", "the whole answer, as JSON, in the body", "body", marks.answer_in_body),
    Misbehaviour("escaped_line_ends", "line ends as letters", "body", marks.escaped_line_ends),
    Misbehaviour("markdown_in_lines", "Markdown in plain fields", "all but body", marks.markdown_in_lines),
    Misbehaviour("quoted_lines", "titles in quotation marks", "titles", marks.quoted_lines),
    Misbehaviour("html_body", "HTML in place of Markdown", "body", marks.html_body),
    Misbehaviour("emoji", "emoji in title, headings and text", "title, excerpt, body", marks.emoji),
    Misbehaviour("hash_tags", "tags with hash signs", "tags", marks.hash_tags),
    Misbehaviour("lookalike_letters", "Cyrillic letters in a Latin word", "body", marks.lookalike_letters),
    Misbehaviour("foreign_script", "a Chinese word in a sentence", "body", marks.foreign_script, "script"),
    Misbehaviour("broken_encoding", "UTF-8 read as Windows text", "body, excerpt", marks.broken_encoding),
    Misbehaviour("bare_own_address", "the product's address in brackets", "body", marks.bare_own_address,
                 of_product="url"),
    Misbehaviour("square_placeholder", "[Your Brand Name]", "body", sayings.square_placeholder, TO_FILL_IN),
    Misbehaviour("curly_placeholder", "{{shop.name}}", "body", sayings.curly_placeholder, TO_FILL_IN),
    Misbehaviour("printf_placeholder", "%s", "body", sayings.printf_placeholder, TO_FILL_IN),
    Misbehaviour("angle_placeholder", "<PRODUCT NAME>", "body", sayings.angle_placeholder, TO_FILL_IN),
    Misbehaviour("underscore_placeholder", "__YOUR_EMAIL__", "body", sayings.underscore_placeholder, TO_FILL_IN),
    Misbehaviour("template_tag", "{% if %}", "body", sayings.template_tag, TO_FILL_IN),
    Misbehaviour("remark_before", "Here is the blog post", "body, excerpt", sayings.remark_before, REMARK),
    Misbehaviour("remark_after", "Let me know", "body", sayings.remark_after, REMARK),
    Misbehaviour("offer_after", "Would you like me to", "body", sayings.offer_after, REMARK),
    Misbehaviour("word_count", "(Word count: 842)", "body", sayings.word_count, REMARK),
    Misbehaviour("thoughts", "<think> and what it thought", "body", sayings.thoughts, REMARK),
    Misbehaviour("field_labels", "Title: and Excerpt:", "title, excerpt, body", sayings.field_labels),
    Misbehaviour("picture_of", "Image of", "alternative text", sayings.picture_of),
    Misbehaviour("refusal", "I can't help with that, as a paragraph", "body", sayings.refusal, REMARK),
    Misbehaviour("refusal_alone", "nothing but a refusal", "all", sayings.refusal_alone, f"{REMARK}|words"),
    Misbehaviour("itself", "As an AI language model", "body", sayings.itself, REMARK),
    Misbehaviour("knowledge_date", "As of my last update", "body", sayings.knowledge_date, REMARK),
    Misbehaviour("call_to_click", "Click here, subscribe below", "body", sayings.call_to_click, "click|page"),
    Misbehaviour("foreign_address", "somebody else's address in a sentence", "body, SEO", sayings.foreign_address),
    Misbehaviour("foreign_mail", "somebody else's mail address", "body", sayings.foreign_mail),
    Misbehaviour("foreign_link", "words that link elsewhere", "body", shapes.foreign_link),
    Misbehaviour("second_link", "a second link to the product", "body", shapes.second_link, of_product="url"),
    Misbehaviour("glued_table", "the rows of a table on one line", "body", shapes.glued_table),
    Misbehaviour("paragraph_twice", "a paragraph twice", "body", shapes.paragraph_twice),
    Misbehaviour("section_twice", "a section twice", "body", shapes.section_twice),
    Misbehaviour("long_title", "a title far over its limit", "title", shapes.long_title, "title has"),
    Misbehaviour("top_heading", "the title as a heading of the text", "body", shapes.top_heading),
    Misbehaviour("label_headings", "Introduction, Conclusion:", "body", shapes.label_headings),
    Misbehaviour("unnamed", "the product never named", "all", shapes.unnamed, "never names", "name"),
    Misbehaviour("everywhere", "the product named in every sentence", "body", shapes.everywhere,
                 "names the product in most", "name"),
    Misbehaviour("wrong_language", "the post in another language", "all", shapes.wrong_language, "language"),
    Misbehaviour("half_translated", "half of the paragraphs in another language", "body", shapes.half_translated,
                 "language"),
    Misbehaviour("broken_off", "the post ends in mid-sentence", "body", shapes.broken_off, "breaks off|ends"),
    Misbehaviour("sentence_without_end", "a paragraph ends in mid-sentence", "body", shapes.sentence_without_end,
                 "breaks off|ends"),
    Misbehaviour("heading_without_text", "a last heading with nothing below it", "body", shapes.ends_on_a_promise),
    Misbehaviour("price", "a price nobody told", "body", sayings.price, "price", "price"),
    Misbehaviour("currency", "the right amount of another currency", "body", sayings.currency, "price", "price"),
    Misbehaviour("measure", "a weight nobody told", "body", sayings.measure, "measure", "name"),
    Misbehaviour("material", "a material nobody told", "body", sayings.material, "material", "name"),
    Misbehaviour("count", "a set of nine", "body", sayings.count, "how many", "name"),
    Misbehaviour("discount", "35% off this week", "body", sayings.discount, "discount|share|measure|promise", "name"),
    Misbehaviour("award", "a prize it never won", "body", sayings.award, "award", "name"),
    Misbehaviour("rating", "stars and customers", "body", sayings.rating, "rating", "name"),
    Misbehaviour("guarantee", "a guarantee, free shipping", "body", sayings.guarantee, "guarantee", "name"),
    Misbehaviour("study", "a study that does not exist", "body", sayings.study, "study"),
    Misbehaviour("quotation", "a customer who does not exist", "body", sayings.quotation, "quot"),
)  # fmt: skip


def misbehaved(answer: Any, *, kind: str, prompt: str, write: Callable[[str], Any], stubborn: bool = False) -> Any:
    """The answer, spoilt, if it is a post that can be spoilt so. `write` answers another prompt."""
    misbehaviour = MISBEHAVIOURS[kind]
    source = tagged_json(prompt, "source") or {}
    if not isinstance(answer, dict) or not isinstance(answer.get("body_markdown"), str):
        return answer
    if misbehaviour.of_product and not (source.get("kind") == "product" and source.get(misbehaviour.of_product)):
        return answer
    asked = FAULTS.search(prompt)
    if asked and not stubborn and re.search(misbehaviour.named, asked[1], re.I):
        return answer
    site = source.get("site") or {}
    language = str(site.get("language") or ENGLISH).lower().partition("-")[0]
    draft = Draft(dict(answer), source, language, lambda other: dict(write(_in_language(prompt, other))))
    misbehaviour.spoil(draft)
    return draft.post


def _in_language(prompt: str, language: str) -> str:
    """The same source for a site of another language, and no idea: its outline is in the language of the site."""
    source = tagged_json(prompt, "source") or {}
    site = {**(source.get("site") or {}), "language": language}
    return f"<source>\n{json.dumps({**source, 'site': site}, ensure_ascii=False)}\n</source>"
