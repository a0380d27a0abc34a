"""Typical mistakes of a model, inserted into a good answer. Each is a kind of fault of the simulated OpenAI:

    {"kind": "footnotes", "vendor": "openai"}                       the answer has footnotes, its repair has none
    {"kind": "footnotes", "vendor": "openai", "stubborn": true}     its repair has footnotes too

Inserted text is in the language of the post. A repair request lists faults. If one matches `fault_pattern`, the answer
is good; otherwise the model does not know what to repair, and the answer has the mistake again.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.simulator.misbehaviours import marks, sentences, structure
from blogworker.simulator.misbehaviours.draft import ENGLISH, Draft
from blogworker.simulator.writer.subject import tagged_json

__all__ = ["MISBEHAVIOURS", "Misbehaviour", "misbehave"]

FAULTS = re.compile(r"<faults>\n(.*?)\n</faults>", re.S)
PLACEHOLDER = "place to fill in|template|filler"
REMARK = "its writer|the answer|instructions"


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One mistake. `description` and `fields` are for readers of this table."""

    name: str
    description: str
    fields: str
    apply: Callable[[Draft], None]
    fault_pattern: str = "."  # matches the fault that tells the model what to repair
    required_field: str = ""  # only for products whose source has this field


def _all(*rows: Misbehaviour) -> Mapping[str, Misbehaviour]:
    return {row.name: row for row in rows}


MISBEHAVIOURS = _all(
    Misbehaviour("footnotes", "footnote marks and notes", "body", marks.footnotes),
    Misbehaviour("citations", "marks of a search tool", "body, excerpt", marks.citations),
    Misbehaviour("bracketed_sources", "((1)), (source 3)", "body", marks.bracketed_sources),
    Misbehaviour("reference_links", "links by reference, without a target", "body", marks.reference_links),
    Misbehaviour("strikethrough", "struck-out words", "body, excerpt", marks.strikethrough),
    Misbehaviour("task_list", "a list of tasks", "body", marks.task_list),
    Misbehaviour("code_fence", "the body in a code fence", "body", marks.code_fence),
    Misbehaviour("answer_in_body", "the whole answer, as JSON, in the body", "body", marks.answer_in_body),
    Misbehaviour("escaped_line_ends", "escaped line ends", "body", marks.escaped_line_ends),
    Misbehaviour("markdown_in_lines", "Markdown in plain fields", "all except body", marks.markdown_in_lines),
    Misbehaviour("quoted_lines", "titles in quotation marks", "titles", marks.quoted_lines),
    Misbehaviour("html_body", "HTML in place of Markdown", "body", marks.html_body),
    Misbehaviour("emoji", "emoji in title, headings and text", "title, excerpt, body", marks.emoji),
    Misbehaviour("hash_tags", "tags with hash signs", "tags", marks.hash_tags),
    Misbehaviour("lookalike_letters", "Cyrillic letters in a Latin word", "body", marks.lookalike_letters),
    Misbehaviour("foreign_script", "a Chinese word in a sentence", "body", marks.foreign_script, "script"),
    Misbehaviour("broken_encoding", "UTF-8 read as Windows text", "body, excerpt", marks.broken_encoding),
    Misbehaviour("bare_own_address", "the product's address in brackets", "body", marks.bare_own_address,
                 required_field="url"),
    Misbehaviour("square_placeholder", "[Your Brand Name]", "body", sentences.square_placeholder, PLACEHOLDER),
    Misbehaviour("curly_placeholder", "{{shop.name}}", "body", sentences.curly_placeholder, PLACEHOLDER),
    Misbehaviour("printf_placeholder", "%s", "body", sentences.printf_placeholder, PLACEHOLDER),
    Misbehaviour("angle_placeholder", "<PRODUCT NAME>", "body", sentences.angle_placeholder, PLACEHOLDER),
    Misbehaviour("underscore_placeholder", "__YOUR_EMAIL__", "body", sentences.underscore_placeholder, PLACEHOLDER),
    Misbehaviour("template_tag", "{% if %}", "body", sentences.template_tag, PLACEHOLDER),
    Misbehaviour("remark_before", "Here is the blog post", "body, excerpt", sentences.remark_before, REMARK),
    Misbehaviour("remark_after", "Let me know", "body", sentences.remark_after, REMARK),
    Misbehaviour("offer_after", "Would you like me to", "body", sentences.offer_after, REMARK),
    Misbehaviour("word_count", "(Word count: 842)", "body", sentences.word_count, REMARK),
    Misbehaviour("thoughts", "<think> and the reasoning", "body", sentences.thoughts, REMARK),
    Misbehaviour("field_labels", "Title: and Excerpt:", "title, excerpt, body", sentences.field_labels),
    Misbehaviour("picture_of", "Image of", "alternative text", sentences.picture_of),
    Misbehaviour("refusal", "I can't help with that, as a paragraph", "body", sentences.refusal, REMARK),
    Misbehaviour("refusal_alone", "only a refusal", "all", sentences.refusal_alone, f"{REMARK}|words"),
    Misbehaviour("itself", "As an AI language model", "body", sentences.itself, REMARK),
    Misbehaviour("knowledge_date", "As of my last update", "body", sentences.knowledge_date, REMARK),
    Misbehaviour("call_to_click", "Click here, subscribe below", "body", sentences.call_to_click, "click|page"),
    Misbehaviour("foreign_address", "the URL of another site in a sentence", "body, SEO", sentences.foreign_address),
    Misbehaviour("foreign_mail", "the e-mail address of another site", "body", sentences.foreign_mail),
    Misbehaviour("foreign_link", "a link to another site", "body", structure.foreign_link),
    Misbehaviour("second_link", "a second link to the product", "body", structure.second_link, required_field="url"),
    Misbehaviour("glued_table", "the rows of a table on one line", "body", structure.glued_table),
    Misbehaviour("paragraph_twice", "a repeated paragraph", "body", structure.paragraph_twice),
    Misbehaviour("section_twice", "a repeated section", "body", structure.section_twice),
    Misbehaviour("long_title", "a title far above its limit", "title", structure.long_title, "title has"),
    Misbehaviour("top_heading", "the title as a heading of the text", "body", structure.top_heading),
    Misbehaviour("label_headings", "Introduction, Conclusion:", "body", structure.label_headings),
    Misbehaviour("unnamed", "the product never named", "all", structure.unnamed, "never names", "name"),
    Misbehaviour("everywhere", "the product named in every sentence", "body", structure.everywhere,
                 "names the product in most", "name"),
    Misbehaviour("wrong_language", "the post in another language", "all", structure.wrong_language, "language"),
    Misbehaviour("half_translated", "half of the paragraphs in another language", "body", structure.half_translated,
                 "language"),
    Misbehaviour("broken_off", "the post ends within a sentence", "body", structure.broken_off, "breaks off|ends"),
    Misbehaviour("sentence_without_end", "a paragraph ends within a sentence", "body", structure.sentence_without_end,
                 "breaks off|ends"),
    Misbehaviour("heading_without_text", "a last heading without text", "body", structure.heading_without_text),
    Misbehaviour("price", "a price that is not in the source", "body", sentences.price, "price", "price"),
    Misbehaviour("currency", "the right amount in another currency", "body", sentences.currency, "price", "price"),
    Misbehaviour("measure", "a weight that is not in the source", "body", sentences.measure, "measure", "name"),
    Misbehaviour("material", "a material that is not in the source", "body", sentences.material, "material", "name"),
    Misbehaviour("count", "a set of nine", "body", sentences.count, "how many", "name"),
    Misbehaviour("discount", "35% off this week", "body", sentences.discount, "discount|share|measure|promise", "name"),
    Misbehaviour("award", "a false award", "body", sentences.award, "award", "name"),
    Misbehaviour("rating", "stars and customers", "body", sentences.rating, "rating", "name"),
    Misbehaviour("guarantee", "a guarantee, free shipping", "body", sentences.guarantee, "guarantee", "name"),
    Misbehaviour("study", "a study that does not exist", "body", sentences.study, "study"),
    Misbehaviour("quotation", "a customer who does not exist", "body", sentences.quotation, "quot"),
)  # fmt: skip


def misbehave(answer: Any, *, kind: str, prompt: str, write: Callable[[str], Any], stubborn: bool = False) -> Any:
    """Insert the mistake `kind` into an answer. It is returned unchanged if it is no post, or the mistake does not fit.

    `write` answers another prompt with the same schema.
    """
    misbehaviour = MISBEHAVIOURS[kind]
    source = tagged_json(prompt, "source") or {}
    if not isinstance(answer, dict) or not isinstance(answer.get("body_markdown"), str):
        return answer
    if misbehaviour.required_field and not (
        source.get("kind") == "product" and source.get(misbehaviour.required_field)
    ):
        return answer
    repair = FAULTS.search(prompt)
    if repair and not stubborn and re.search(misbehaviour.fault_pattern, repair[1], re.I):
        return answer
    site = source.get("site") or {}
    language = str(site.get("language") or ENGLISH).lower().partition("-")[0]
    draft = Draft(dict(answer), source, language, lambda other: dict(write(_in_language(prompt, other))))
    misbehaviour.apply(draft)
    return draft.post


def _in_language(prompt: str, language: str) -> str:
    """The prompt for a site in another language, without the idea, whose outline is in the language of the site."""
    source = tagged_json(prompt, "source") or {}
    site = {**(source.get("site") or {}), "language": language}
    return f"<source>\n{json.dumps({**source, 'site': site}, ensure_ascii=False)}\n</source>"
