"""The subject of an article: the facts in the prompt, and the names of the subject."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

from blogworker.simulator.writer import cleaning
from blogworker.simulator.writer.facts import pairs, source_facts
from blogworker.simulator.writer.grammar import is_plural, singular
from blogworker.simulator.writer.kinds import ANY, ENGLISH, Answer, Kind, goods, kind_of_phrase, kinds
from blogworker.simulator.writer.topics import Topic, head_noun, head_nouns, is_known_noun, topic_of

LONGEST_NAME = 80
_INTRODUCTION = re.compile(
    r"(?i)\b(?:we are|i am|this is|welcome to|meet|about)\s+(?:an?|the|our)?\s*([^.,;:!?]{3,60})"
)
_PREPOSITION = re.compile(r"\s(?:in(?! [A-Z])|that|which|who|with|for|and|on|at|near|from|by|where)\s")
_SOURCES_OF_NAME = ("name", "title", "keyword", "topic", "subject")
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are as at be been but by can do for from had has have how i if in into is it its more most my no
        not of on one or our out so some such than that the their them there these they this to up was we were
        what when which who will with you your about also after all any because before between both each few just
        like only other over same very
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Subject:
    """The parsed source. All texts are without HTML and Markdown."""

    is_product: bool
    name: str
    phrase: str  # its name within a sentence: `the Oak Chair`, `caring for a monstera`
    plural: bool
    question: str  # the search phrase, if it was a question
    kind: Kind
    answer: Answer | None  # a prepared answer to the search phrase
    description_facts: Mapping[str, str]  # labelled facts in the description, such as `Material`
    source_facts: Mapping[str, str]  # other facts in the source: prices, options, measures
    features: tuple[str, ...]  # lines of the description that are not sentences
    language: str  # of the article
    sentences: tuple[str, ...]  # the other sentences of the description
    price: str
    vendor: str
    tags: tuple[str, ...]
    keyword: str
    url: str
    site_language: str  # such as `de`; empty if it is not set
    fingerprint: str  # the source as text; part of the random seed


def read_subject(prompt: str) -> Subject:
    """Parse the `<source>` block of a prompt, or the whole text if there is none."""
    source = tagged_json(prompt, "source") or {"kind": "text", "text": prompt[-2_000:]}
    given = str(source.get("kind") or ("product" if source.get("price") or source.get("vendor") else "text"))
    is_product = given == "product"
    description = _text(source, "description") or _text(source, "text")
    name = _name(source, description)
    language = _language(source) if is_product else ENGLISH
    topic = _product(name, language) if is_product else topic_of(name)
    answer = None if is_product else _answer(name)
    stated, rest = cleaning.description_facts(description) if is_product else ({}, description)
    kind = _kind(_telling_nouns(name, _text(source, "product_type"), given), _words_of(source), answer)
    if is_product and (language != ENGLISH or kind.name == ANY):
        kind = goods()[language]
    facts = source_facts(source, {**goods()[language].phrases, **kind.phrases}, language) if is_product else {}
    features = cleaning.features(rest) if is_product else []
    return Subject(
        is_product=is_product,
        name=name,
        phrase=topic.phrase,
        plural=topic.plural,
        question=topic.question,
        kind=kind,
        answer=answer,
        description_facts=stated,
        source_facts={label: value for label, value in facts.items() if label not in stated},
        features=tuple(features),
        language=language,
        sentences=tuple(part for part in cleaning.sentences(rest) if part not in features),
        price=facts.get(pairs(goods()[language].phrases["labels"])["price"], ""),
        vendor=_vendor(source),
        tags=tuple(cleaning.without_markup(str(tag)) for tag in source.get("tags") or () if str(tag).strip()),
        keyword=cleaning.without_markup(_text(source, "keyword")),
        url=_url(source),
        site_language=_site_language(source),
        fingerprint=json.dumps(source, sort_keys=True, ensure_ascii=False),
    )


def _language(source: Mapping[str, Any]) -> str:
    """The language of the site if `goods` has it, else English."""
    language = _site_language(source)
    return language if language in goods() else ENGLISH


def _site_language(source: Mapping[str, Any]) -> str:
    site = source.get("site")
    tag = str(site.get("language") or "") if isinstance(site, Mapping) else ""
    return re.split("[-_]", tag.lower())[0]


def _answer(name: str) -> Answer | None:
    """The prepared answer to the longest known phrase with which the search phrase begins, if any."""
    text = f"{name.lower().rstrip('?.! ')} "
    found = [phrase for phrase in kind_of_phrase() if text.startswith(f"{phrase} ")]
    longest = max(found, key=len, default="")
    return kind_of_phrase()[longest].answers[longest] if longest else None


def _kind(nouns: Iterator[str], words: Collection[str], answer: Answer | None) -> Kind:
    """The kind that a noun of the source names, else `ANY`: a guess could describe the wrong product."""
    if answer is not None:
        return kind_of_phrase()[answer.phrase]
    covering = (kind for noun in nouns for kind in kinds().values() if kind.matches(noun, words))
    return next(covering, kinds()[ANY])


def _telling_nouns(name: str, product_type: str, given: str) -> Iterator[str]:
    """The nouns that can name the kind of a source. Free text has none, because its name is a guess."""
    if given == "keyword":
        yield from (singular(word) for word in head_nouns(name.lower()))
    if given != "product":
        return
    if product_type:
        yield singular(head_noun(product_type.lower()))
    yield singular(head_noun(main_part(name).lower()))


def _vendor(source: Mapping[str, Any]) -> str:
    """The vendor of the product; empty if it contains a URL."""
    vendor = cleaning.without_markup(_text(source, "vendor") or _text(source, "brand"))
    return "" if cleaning.ADDRESS in vendor else vendor


def _words_of(source: Mapping[str, Any]) -> frozenset[str]:
    texts = [_text(source, key) for key in ("name", "keyword", "product_type", "description")]
    return frozenset(re.findall(r"[a-z][a-z'-]*", " ".join([*texts, *map(str, source.get("tags") or ())]).lower()))


def _product(name: str, language: str) -> Topic:
    if language != ENGLISH:
        return Topic(main_part(name))
    bare = re.sub(r"^(?:the|a|an) ", "", main_part(name), flags=re.IGNORECASE)
    return Topic(f"the {bare}", plural=is_plural(head_noun(bare)))


def main_part(name: str) -> str:
    """The name of a product up to the first comma, colon, dash or parenthesis. The rest is often a size."""
    first = re.split(r", |: | - | \u2013 | \| | \(", name, maxsplit=1)[0]
    return first if len(first) >= 8 and " " in first else name


def tagged_json(prompt: str, tag: str) -> dict[str, Any] | None:
    """The JSON object after `<tag>`; None if there is none."""
    start = prompt.find(f"<{tag}>")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(prompt[start + len(tag) + 2 :].lstrip())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def tagged_list(prompt: str, tag: str) -> list[dict[str, Any]]:
    """The objects of the JSON list after `<tag>`; empty if there is none."""
    start = prompt.find(f"<{tag}>")
    if start < 0:
        return []
    try:
        value, _ = json.JSONDecoder().raw_decode(prompt[start + len(tag) + 2 :].lstrip())
    except ValueError:
        return []
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def slots_of(subject: Subject) -> dict[str, str]:
    """The slots of a subject and their texts. Unknown facts have no slot."""
    many, product = subject.plural, subject.is_product
    known = {
        "product": subject.phrase if product else "",
        "topic": "" if product else subject.phrase,
        "price": subject.price,
        "vendor": subject.vendor,
        **{label.lower().replace(" ", "_"): value for label, value in subject.description_facts.items()},
    }
    return {
        **{name: value for name, value in known.items() if value},
        "the": subject.phrase,
        "name": main_part(subject.name) if product else subject.name,
        "it": "they" if many else "it",
        "its": "their" if many else "its",
        "is": "are" if many else "is",
        "has": "have" if many else "has",
        "does": "do" if many else "does",
        "s": "" if many else "s",
        "es": "" if many else "es",
    }


def _text(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _name(source: Mapping[str, Any], description: str) -> str:
    for key in _SOURCES_OF_NAME:
        if name := cleaning.without_markup(_text(source, key)):
            return name[:LONGEST_NAME].strip()
    line = cleaning.without_markup(description.strip().split("\n", 1)[0])
    if line and len(line.split()) <= 8:
        return line.rstrip(".!?:")
    text = cleaning.without_markup(description)
    if match := _INTRODUCTION.search(text[:300]):
        return _PREPOSITION.split(f"{match[1]} ")[0].strip()
    return _frequent_pair(text) or "everyday things"


def _frequent_pair(text: str) -> str:
    """The most frequent pair of words, as the name of a text without one."""
    words = [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z'-]+", text)]
    counts: dict[str, int] = {}
    for first, second in pairwise(words):
        if first not in _STOP_WORDS and second not in _STOP_WORDS:
            counts[f"{first} {second}"] = counts.get(f"{first} {second}", 0) + (3 if is_known_noun(second) else 1)
    return max(counts, key=lambda pair: counts[pair], default="")


def _url(source: Mapping[str, Any]) -> str:
    url = _text(source, "url").strip()
    return quote(url, safe=":/?#@!$&'*+,;=%~-._") if urlsplit(url).scheme in ("http", "https") else ""
