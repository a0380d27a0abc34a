"""The table of defects, and the function that repairs all fields of a post."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.post.defects import (
    addresses,
    claims,
    endings,
    glyphs,
    marks,
    materials,
    placeholders,
    promises,
    remarks,
    repeats,
    scripts,
)
from blogworker.post.defects.kind import BODY, LINES, READ, TITLES, Defect, PostContext
from blogworker.post.plain import printable

SHOWN = 80  # characters of a finding
TOP_HEADING = re.compile(r"^ {0,3}#(?!#)[ \t]+(.*)$", re.M)
EVIDENCE = re.compile("([\ue200-\ue202\x80-\x9f]|(?<=\u00c3)\u00ad)")
HAS_PLACEHOLDER = "has a place to fill in: {found}: write what belongs there, or leave the sentence out"
NOT_IN_SOURCE = "mentions {} that is not in the source: {{found}}: leave it out"
GAPS = re.compile(r"\n{3,}")


def _no_top_heading(text: str, context: PostContext) -> str:
    """Remove a heading that repeats the title, and move other first-level headings to the second level."""
    title = re.findall(r"\w+", context.title.casefold())

    def lower(found: re.Match[str]) -> str:
        return "" if re.findall(r"\w+", found[1].casefold()) == title else f"## {found[1]}"

    return TOP_HEADING.sub(lower, text)


# The order matters: a defect that hides others comes first, and text that is removed is not searched later.
DEFECTS: tuple[Defect, ...] = (
    Defect("broken encoding", READ, repair=glyphs.decoded_again),
    Defect("fence around the post", BODY, repair=marks.without_fence),
    Defect("answer in the body", BODY, repair=marks.without_wrapping),
    Defect("line ends as letters", READ, repair=marks.with_line_ends),
    Defect("citation", READ, repair=marks.without_citations),
    Defect("chat mark", READ, repair=placeholders.without_chat_marks),
    Defect("thoughts of the model", READ, repair=glyphs.without_thoughts),
    Defect("emoji", READ, repair=glyphs.without_emoji),
    Defect("placeholder in underscores", READ, find=placeholders.underscores, message=HAS_PLACEHOLDER),
    Defect(
        "placeholder in angle brackets",
        READ,
        find=placeholders.angle,
        message=HAS_PLACEHOLDER,
    ),
    Defect("picture", READ, repair=addresses.without_pictures),
    Defect("footnote", READ, repair=marks.without_notes),
    Defect("HTML", BODY, repair=marks.without_html),
    Defect("link by reference", BODY, repair=marks.without_references),
    Defect("remark about the answer", BODY, repair=remarks.without_remarks),
    Defect("remark about the answer", LINES, repair=remarks.line_without_remark),
    Defect("label of a field", LINES, repair=marks.without_label),
    Defect("foreign link", BODY, repair=addresses.without_foreign_links),
    Defect("words about the picture", frozenset({"image_alt"}), repair=marks.without_picture_of),
    Defect("Markdown in a plain field", LINES, repair=marks.without_markdown),
    Defect("struck-out words", READ, repair=marks.without_struck),
    Defect("task list", BODY, repair=marks.without_tasks),
    Defect("title in quotation marks", TITLES, repair=marks.without_quotes),
    Defect("foreign address", LINES, repair=addresses.line_without_addresses),
    Defect("foreign address", BODY, repair=addresses.without_addresses),
    Defect("more than one link", BODY, repair=addresses.one_link),
    Defect("top heading", BODY, repair=_no_top_heading),
    Defect("heading that is a label", BODY, repair=remarks.unlabelled),
    Defect("glued table", BODY, repair=repeats.whole_tables),
    Defect("letters of two scripts", READ, repair=scripts.one_script),
    Defect("paragraph twice", BODY, repair=repeats.once),
    Defect("quotation that breaks off", BODY, repair=endings.whole_quotations),
    Defect("heading without a text", BODY, repair=endings.without_last_headings),
    Defect("long title", TITLES - {"seo_title"}, repair=marks.shorter_title),
    Defect(
        "placeholder in square brackets",
        READ,
        find=placeholders.square,
        message=HAS_PLACEHOLDER,
    ),
    Defect(
        "template tag",
        READ,
        find=placeholders.template,
        message="has a tag of a template: {found}: write what belongs there, or leave the sentence out",
    ),
    Defect(
        "placeholder in curly brackets",
        READ,
        find=placeholders.curly,
        message=HAS_PLACEHOLDER,
    ),
    Defect(
        "placeholder in percent signs",
        READ,
        find=placeholders.percent,
        message=HAS_PLACEHOLDER,
    ),
    Defect("filler", READ, find=placeholders.fillers, message="has filler text: {found}: write the real text"),
    Defect("words in brackets", READ, repair=marks.without_brackets),
    Defect(
        "remark about the writer",
        READ,
        find=remarks.of_itself,
        message="mentions its writer or its instructions: {found}: write only about the subject",
    ),
    Defect("long title", TITLES - {"seo_title"}, find=marks.long_title, message="has {found}: write at most 65"),
    Defect(
        "letters of two scripts",
        READ,
        find=scripts.mixed,
        message="has letters of two scripts in one word: {found}: write it in one",
    ),
    Defect(
        "word of another script",
        READ,
        find=scripts.foreign,
        message="has a word of another script: {found}: write it in the language of the post",
    ),
    Defect(
        "request to a visitor",
        READ,
        find=remarks.of_a_page,
        message="asks readers to click or subscribe, but the page has no button or form: {found}: leave it out",
    ),
    Defect(
        "text that breaks off",
        BODY,
        find=endings.broken_off,
        message="breaks off in the middle of a sentence: {found}: end the sentence",
    ),
    Defect(
        "ragged table",
        BODY,
        find=repeats.ragged_table,
        message="has a table row with more cells than its head: {found}: give each row as many",
    ),
    Defect(
        "product never named",
        BODY,
        find=repeats.unnamed,
        message="never names the product: write {found} where it helps, two to four times",
    ),
    Defect(
        "product named too often",
        BODY,
        find=repeats.named_everywhere,
        message="names the product in most sentences: write {found} two to four times in all",
    ),
    Defect(
        "price not in the source",
        READ,
        find=claims.price_unknown,
        message="states a price that is not in the source: {found}: copy amount and currency from the source, "
        "or leave the price out",
    ),
    Defect(
        "measure not in the source",
        READ,
        find=claims.measure_unknown,
        message="states a measure of the product that is not in the source: {found}: leave it out",
    ),
    Defect(
        "count not in the source",
        READ,
        find=claims.count_unknown,
        message="states how many pieces the product has, which is not in the source: {found}: leave it out",
    ),
    Defect(
        "material not in the source",
        READ,
        find=materials.material_unknown,
        message="names a material of the product that is not in the source: {found}: leave it out",
    ),
    Defect("award not in the source", READ, find=promises.award_unknown, message=NOT_IN_SOURCE.format("an award")),
    Defect("rating not in the source", READ, find=promises.rating_unknown, message=NOT_IN_SOURCE.format("a rating")),
    Defect(
        "guarantee not in the source",
        READ,
        find=promises.guarantee_unknown,
        message=NOT_IN_SOURCE.format("a guarantee or delivery"),
    ),
    Defect("study not in the source", READ, find=promises.study_unknown, message=NOT_IN_SOURCE.format("a study")),
    Defect(
        "quotation not in the source",
        READ,
        find=promises.quotation_unknown,
        message="quotes a person whom the source does not quote: {found}: leave it out",
    ),
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """An answer after all repairs."""

    fields: dict[str, Any]
    repaired: list[str]  # names of defects, in the order of the table
    returned: list[str]  # names of defects that only the model can repair
    faults: list[str]  # the message for the model about each of them


def repair_fields(
    answer: Mapping[str, Any],
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    links: Mapping[str, str] | None = None,
) -> Repaired:
    """Repair every field that a reader sees. `links` maps addresses of related posts, which the body may link to, to
    titles. Fields of a wrong type are not changed; the caller validates them."""
    fields = {name: _prepared(value) if name in READ else value for name, value in answer.items()}
    context = PostContext(source, idea, title=str(answer.get("title") or ""), links=links or {})
    result = Repaired(fields, [], [], [])
    for defect in DEFECTS:
        for name in sorted(defect.fields & fields.keys()):
            _apply(result, defect, name, context)
    body = fields.get("body_markdown")
    if isinstance(body, str):
        body = printable(body)
        fields["body_markdown"] = GAPS.sub("\n\n", addresses.own_links(body, context)).strip()
    return result


def _prepared(value: object) -> object:
    """Make a value printable, except characters that show a citation or a broken encoding."""
    if isinstance(value, list):
        return [_prepared(one) for one in value]
    if not isinstance(value, str):
        return value
    parts = EVIDENCE.split(value.replace("\r\n", "\n"))
    parts[::2] = [printable(part) for part in parts[::2]]  # the odd parts are these characters
    return "".join(parts)


def _apply(result: Repaired, defect: Defect, name: str, context: PostContext) -> None:
    value = result.fields[name]
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        return
    if defect.repair is not None:
        repaired = [defect.repair(text, context) for text in texts]
        if repaired != texts:
            result.fields[name] = repaired if isinstance(value, list) else repaired[0]
            result.repaired.append(defect.name)
    elif defect.find is not None and (
        found := next(filter(None, (defect.find(context.unlinked(text), context) for text in texts)), "")
    ):
        result.returned.append(defect.name)
        result.faults.append(f"{name} {defect.message.format(found=repr(found[:SHOWN]))}")
