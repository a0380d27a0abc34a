"""What an article is about: facts read from the prompt, and the words by which the subject goes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

from blogworker.simulator.writer import cleaning
from blogworker.simulator.writer.bank import Theme, portions, themes
from blogworker.simulator.writer.grammar import is_plural, plural, singular
from blogworker.simulator.writer.topics import Topic, head_of, topic_of

LONGEST_NAME = 80
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_INTRODUCTION = re.compile(
    r"(?i)\b(?:we are|i am|this is|welcome to|meet|about)\s+(?:an?|the|our)?\s*([^.,;:!?]{3,60})"
)
_PREPOSITION = re.compile(r"\s(?:in(?! [A-Z])|that|which|who|with|for|and|on|at|near|from|by|where)\s")
_SOURCES_OF_NAME = ("name", "title", "keyword", "topic", "subject")
_CURRENCIES = {"USD": "$", "EUR": "€", "GBP": "£", "CAD": "CA$", "AUD": "A$"}
_PAIRS = frozenset(
    ("jean", "trouser", "legging", "headphone", "shoe", "boot", "sneaker", "sandal", "sock", "earring", "cufflink")
)
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
    """A source, understood. Text is plain: no HTML and nothing that markdown would read as a mark."""

    kind: str
    name: str
    phrase: str  # how it is called within a sentence: `the Oak Chair`, `caring for a monstera`
    plural: bool
    is_act: bool  # something one does, such as caring for plants
    question: str  # the search phrase, if it was a question
    noun: str
    theme: Theme
    facts: tuple[str, ...]
    price: str
    vendor: str
    tags: tuple[str, ...]
    keyword: str
    url: str
    tone: str
    fingerprint: str  # the source as text: whatever is drawn for it depends on this

    @property
    def is_thing(self) -> bool:
        """Whether it can be held or bought, rather than talked about."""
        return self.kind == "product"

    @property
    def nouns(self) -> str:
        return self.noun.removeprefix("pair of ") if self.noun.startswith("pair of ") else plural(self.noun)


def read_subject(prompt: str) -> Subject:
    """The subject of a prompt: its `<source>` block, or else the whole text."""
    source = tagged_json(prompt, "source") or {"kind": "text", "text": prompt[-2_000:]}
    kind = str(source.get("kind") or ("product" if source.get("price") or source.get("vendor") else "text"))
    site = source.get("site") if isinstance(source.get("site"), dict) else {}
    told = _text(source, "description") or _text(source, "text")
    name = _name(source, told)
    tags = tuple(cleaning.without_markup(str(tag)) for tag in source.get("tags") or () if str(tag).strip())
    kinds = f"{_text(source, 'product_type')} {_text(source, 'vendor')}"
    theme, found = _theme(f"{name} {_text(source, 'keyword')}", kinds, tags, told)
    topic = _product(name) if kind == "product" else topic_of(name)
    return Subject(
        kind=kind,
        name=name,
        phrase=topic.phrase,
        plural=topic.plural,
        is_act=topic.is_act,
        question=topic.question,
        noun=_noun(found, theme),
        theme=theme,
        facts=tuple(cleaning.sentences(told)),
        price=_price(source),
        vendor=cleaning.without_markup(_text(source, "vendor") or _text(source, "brand")),
        tags=tags,
        keyword=cleaning.without_markup(_text(source, "keyword")),
        url=_url(source),
        tone=str((site or {}).get("tone") or ""),
        fingerprint=json.dumps(source, sort_keys=True, ensure_ascii=False),
    )


def _product(name: str) -> Topic:
    bare = re.sub(r"^(?:the|a|an) ", "", main_part(name), flags=re.IGNORECASE)
    return Topic(f"the {bare}", plural=is_plural(head_of(bare)))


def main_part(name: str) -> str:
    """A product's name without what follows a comma, colon or dash, such as its size."""
    first = re.split(r", |: | - | \u2013 | \| | \(", name, maxsplit=1)[0]
    return first if len(first) >= 8 and " " in first else name


def tagged_json(prompt: str, tag: str) -> dict[str, Any] | None:
    """The JSON object that follows the mark of a tag; None when there is none."""
    start = prompt.find(f"<{tag}>")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(prompt[start + len(tag) + 2 :].lstrip())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _name(source: Mapping[str, Any], told: str) -> str:
    for key in _SOURCES_OF_NAME:
        if name := cleaning.without_markup(_text(source, key)):
            return name[:LONGEST_NAME].strip()
    line = cleaning.without_markup(told.strip().split("\n", 1)[0])
    if line and len(line.split()) <= 8:
        return line.rstrip(".!?:")
    text = cleaning.without_markup(told)
    if match := _INTRODUCTION.search(text[:300]):
        return _PREPOSITION.split(f"{match[1]} ")[0].strip()
    return _frequent_pair(text) or "everyday things"


def _frequent_pair(text: str) -> str:
    """The two neighbouring words that come up most, as a name for a text that has none."""
    words = [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z'-]+", text)]
    counts: dict[str, int] = {}
    for first, second in pairwise(words):
        if first not in _STOP_WORDS and second not in _STOP_WORDS:
            telling = 3 if any(singular(second) in theme.nouns for theme in themes().values()) else 1
            counts[f"{first} {second}"] = counts.get(f"{first} {second}", 0) + telling
    return max(counts, key=lambda pair: counts[pair], default="")


def _theme(name: str, kinds: str, tags: tuple[str, ...], told: str) -> tuple[Theme, str]:
    """The subject matter that most words speak for, and the word that names the thing."""
    weighed = [(word, 4) for word in _words(name)] + [(word, 3) for word in _words(kinds)]
    weighed += [(word, 2) for tag in tags for word in _words(tag)]
    weighed += [(word, 1) for word in _words(cleaning.plain(told))[:120]]
    head = singular(head_of(main_part(name)).lower())
    best, best_score = themes()["general"], 0
    for theme in themes().values():
        score = sum(weight * _vote(word, theme) for word, weight in weighed) + (8 if head in theme.nouns else 0)
        if score > best_score:
            best, best_score = theme, score
    named = [[word for word, weight in weighed if weight == wanted and word in best.nouns] for wanted in (4, 3)]
    telling = [words[-1] for words in named if words]
    return best, head if head in best.nouns else next(iter(telling), "")


def _words(text: str) -> list[str]:
    return [singular(word) for word in _WORD.findall(text.lower())]


def _vote(word: str, theme: Theme) -> int:
    return 2 if word in theme.nouns else int(word in theme.hints)


def _noun(found: str, theme: Theme) -> str:
    if found in _PAIRS:
        return f"pair of {plural(found)}"
    return portions().get(found, found) or theme.noun


def _price(source: Mapping[str, Any]) -> str:
    price = source.get("price")
    if price in (None, "", 0, "0", "0.00"):
        return ""
    text, currency = str(price).strip(), str(source.get("currency") or "")
    if not re.fullmatch(r"\d+(?:[.,]\d+)?", text):
        return cleaning.without_markup(text)
    amount = f"{float(text.replace(',', '.')):.2f}".removesuffix(".00")
    return f"{_CURRENCIES[currency]}{amount}" if currency in _CURRENCIES else f"{amount} {currency}".strip()


def _url(source: Mapping[str, Any]) -> str:
    url = _text(source, "url").strip()
    return quote(url, safe=":/?#@!$&'*+,;=%~-._") if urlsplit(url).scheme in ("http", "https") else ""
