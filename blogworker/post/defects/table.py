"""The table of defects, and the pass over all fields of a post."""

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
from blogworker.post.defects.kind import BODY, LINES, READ, TITLES, Defect, Known
from blogworker.post.plain import printable

SHOWN = 80  # characters of a finding
TOP_HEADING = re.compile(r"^ {0,3}#(?!#)[ \t]+(.*)$", re.M)
TELLING_SIGNS = re.compile("([\ue200-\ue202\x80-\x9f]|(?<=\u00c3)\u00ad)")
TO_FILL_IN = "has a place to fill in: {found}: write what belongs there, or leave the sentence out"
PROMISED = "tells of {} that the source does not hold: {{found}}: leave it out"
GAPS = re.compile(r"\n{3,}")


def _no_top_heading(text: str, known: Known) -> str:
    """The title is the page's only heading of the first level: it is not repeated, others go one level down."""
    title = re.findall(r"\w+", known.title.casefold())

    def lower(found: re.Match[str]) -> str:
        return "" if re.findall(r"\w+", found[1].casefold()) == title else f"## {found[1]}"

    return TOP_HEADING.sub(lower, text)


# In this order: what hides other defects comes first, and nothing is looked for in what is left out anyway.
DEFECTS: tuple[Defect, ...] = (
    Defect("broken encoding", READ, repair=glyphs.well_read),
    Defect("fence around the post", BODY, repair=marks.without_fence),
    Defect("answer in the body", BODY, repair=marks.without_wrapping),
    Defect("line ends as letters", READ, repair=marks.with_line_ends),
    Defect("citation", READ, repair=marks.without_citations),
    Defect("chat mark", READ, repair=placeholders.without_chat_marks),
    Defect("thoughts of the model", READ, repair=glyphs.without_thoughts),
    Defect("emoji", READ, repair=glyphs.without_emoji),
    Defect("placeholder in underscores", READ, find=placeholders.underscores, told=TO_FILL_IN),
    Defect(
        "placeholder in angle brackets",
        READ,
        find=placeholders.angle,
        told=TO_FILL_IN,
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
    Defect("heading without a text", BODY, repair=endings.without_bare_end),
    Defect("long title", TITLES - {"seo_title"}, repair=marks.shorter_title),
    Defect(
        "placeholder in square brackets",
        READ,
        find=placeholders.square,
        told=TO_FILL_IN,
    ),
    Defect(
        "template tag",
        READ,
        find=placeholders.template,
        told="has a tag of a template: {found}: write what belongs there, or leave the sentence out",
    ),
    Defect(
        "placeholder in curly brackets",
        READ,
        find=placeholders.curly,
        told=TO_FILL_IN,
    ),
    Defect(
        "placeholder in percent signs",
        READ,
        find=placeholders.percent,
        told=TO_FILL_IN,
    ),
    Defect("filler", READ, find=placeholders.fillers, told="has a filler in place of words: {found}: write the words"),
    Defect("words in brackets", READ, repair=marks.without_brackets),
    Defect(
        "remark about the writer",
        READ,
        find=remarks.of_itself,
        told="speaks of its writer or its instructions: {found}: write about the subject alone",
    ),
    Defect("long title", TITLES - {"seo_title"}, find=marks.long_title, told="has {found}: write at most 65"),
    Defect(
        "letters of two scripts",
        READ,
        find=scripts.mixed,
        told="has letters of two scripts in one word: {found}: write it in one",
    ),
    Defect(
        "word of another script",
        READ,
        find=scripts.foreign,
        told="has a word of another script: {found}: write it in the language of the post",
    ),
    Defect(
        "request to a visitor",
        READ,
        find=remarks.of_a_page,
        told="asks readers to click or subscribe, and the page has nothing for it: {found}: leave it out",
    ),
    Defect(
        "text that breaks off",
        BODY,
        find=endings.broken_off,
        told="breaks off in the middle of a sentence: {found}: end the sentence",
    ),
    Defect(
        "ragged table",
        BODY,
        find=repeats.ragged_table,
        told="has a table row with more cells than its head: {found}: give each row as many",
    ),
    Defect(
        "product never named",
        BODY,
        find=repeats.unnamed,
        told="never names the product: write {found} where it helps, two to four times",
    ),
    Defect(
        "product named too often",
        BODY,
        find=repeats.named_everywhere,
        told="names the product in most sentences: write {found} two to four times in all",
    ),
    Defect(
        "price not in the source",
        READ,
        find=claims.price_unknown,
        told="states a price that the source does not hold: {found}: give amount and currency as the source has them, "
        "or leave the price out",
    ),
    Defect(
        "measure not in the source",
        READ,
        find=claims.measure_unknown,
        told="states a measure of the product that the source does not hold: {found}: leave it out",
    ),
    Defect(
        "count not in the source",
        READ,
        find=claims.count_unknown,
        told="states how many pieces the product has, and the source does not: {found}: leave it out",
    ),
    Defect(
        "material not in the source",
        READ,
        find=materials.material_unknown,
        told="names a material of the product that the source does not hold: {found}: leave it out",
    ),
    Defect("award not in the source", READ, find=promises.award_unknown, told=PROMISED.format("an award")),
    Defect("rating not in the source", READ, find=promises.rating_unknown, told=PROMISED.format("a rating")),
    Defect(
        "guarantee not in the source",
        READ,
        find=promises.guarantee_unknown,
        told=PROMISED.format("a guarantee or a delivery"),
    ),
    Defect("study not in the source", READ, find=promises.study_unknown, told=PROMISED.format("a study")),
    Defect(
        "quotation not in the source",
        READ,
        find=promises.quotation_unknown,
        told="quotes somebody whom the source does not quote: {found}: leave it out",
    ),
)


@dataclass(frozen=True, slots=True)
class Mended:
    """An answer after the pass."""

    fields: dict[str, Any]
    repaired: list[str]  # names of defects, in the order of the table
    returned: list[str]  # likewise, of those that only the writer can mend
    faults: list[str]  # what the writer is told of these


def mended(
    answer: Mapping[str, Any],
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    links: Mapping[str, str] | None = None,
) -> Mended:
    """One pass over every field that a reader sees. `links`: related posts that the body may link to, by address, with
    their titles. Fields of a wrong type stay as they are, for others to judge."""
    fields = {name: _prepared(value) if name in READ else value for name, value in answer.items()}
    known = Known(source, idea, title=str(answer.get("title") or ""), links=links or {})
    result = Mended(fields, [], [], [])
    for defect in DEFECTS:
        for name in sorted(defect.fields & fields.keys()):
            _treat(result, defect, name, known)
    body = fields.get("body_markdown")
    if isinstance(body, str):
        body = printable(body)
        fields["body_markdown"] = GAPS.sub("\n\n", addresses.own_links(body, known)).strip()
    return result


def _prepared(value: object) -> object:
    """Printable, but for the signs by which citations and broken encodings are found."""
    if isinstance(value, list):
        return [_prepared(one) for one in value]
    if not isinstance(value, str):
        return value
    parts = TELLING_SIGNS.split(value.replace("\r\n", "\n"))
    parts[::2] = [printable(part) for part in parts[::2]]  # between them are the signs
    return "".join(parts)


def _treat(result: Mended, defect: Defect, name: str, known: Known) -> None:
    value = result.fields[name]
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        return
    if defect.repair is not None:
        repaired = [defect.repair(text, known) for text in texts]
        if repaired != texts:
            result.fields[name] = repaired if isinstance(value, list) else repaired[0]
            result.repaired.append(defect.name)
    elif defect.find is not None and (
        found := next(filter(None, (defect.find(known.unlinked(text), known) for text in texts)), "")
    ):
        result.returned.append(defect.name)
        result.faults.append(f"{name} {defect.told.format(found=repr(found[:SHOWN]))}")
