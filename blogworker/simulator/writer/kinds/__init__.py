"""The prepared articles, one file per kind of product, read once.

    facts: Fact                      words around the facts of a product; `range`, `labels`, `link` and others likewise
    noun: tea                        what the product is called
    shown: a pot of tea              what a picture of it shows, if not the noun itself
    nouns: raincoat                  words that name the kind by themselves, in the singular
    perhaps: jacket shell            words that name it if the source also has one of the words in `when`
    when: waterproof rain
    places: on a table / by a sink   where a picture shows it
    tags: mugs / stoneware

    = care                           an angle: `about`, `for`, `intent`, `search` (phrases), `title` (of a product),
                                     `asked` (of a topic), `intro` (one or more), the names of its own `sections`
    == washing | Heading / Another   a section; the one named `product` is about a product's facts, and those whose
                                     names begin with `close` end an article
    ? does a mug break | care shock | Title
                                     a search phrase whose answer opens the article, its angle, and the section that
                                     comes first, if it is not the first of the angle

Text is Markdown with slots in braces. A sentence with an unknown slot is left out, so everything said about a product
comes from its own description. The words around the slots name no measure: they are true of every product of the kind.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ALTERNATIVES = " / "
ANY = "anything"  # the kind for all that belongs to no other
GOODS = "goods"  # the kind for products that belong to no other; it has an article in each of several languages
ENGLISH = "en"
PRODUCT, CLOSE = "product", "close"
OF_A_KIND = frozenset({"noun", "shown", "nouns", "perhaps", "when", "places", "tags"})
_PART = re.compile(r"^(==?|\?) (.+)$", re.MULTILINE)
_FIELD = re.compile(r"^([a-z]+): (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"^#(?!#).*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an article under one heading."""

    name: str
    headings: tuple[str, ...]
    blocks: tuple[str, ...]  # paragraphs, lists, tables


@dataclass(frozen=True, slots=True)
class Angle:
    """One way to write about a kind of product."""

    name: str
    about: str
    audiences: tuple[str, ...]
    intent: str
    searches: tuple[str, ...]  # what its readers type
    titles: tuple[str, ...]  # for a product
    asked: tuple[str, ...]  # for a topic
    intros: tuple[str, ...]
    sections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A prepared answer to a search phrase."""

    phrase: str
    angle: str
    first: str  # name of the section that comes first; empty: the angle's own order
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product with its angles, sections and answers."""

    name: str
    noun: str
    shown: str
    nouns: frozenset[str]
    perhaps: frozenset[str]
    when: frozenset[str]
    places: tuple[str, ...]
    tags: tuple[str, ...]
    angles: Mapping[str, Angle]
    sections: Mapping[str, Section]
    answers: Mapping[str, Answer]
    said: Mapping[str, str]  # words around the facts of a product

    def covers(self, noun: str, words: Collection[str]) -> bool:
        """Whether a noun, in a source with these words, names a product of this kind.

        Do not guess: what is written about merino is not true of a cotton sock.
        """
        return noun in self.nouns or (noun in self.perhaps and not self.when.isdisjoint(words))

    @property
    def closings(self) -> list[Section]:
        return [section for name, section in self.sections.items() if name.startswith(CLOSE)]

    @property
    def bodies(self) -> list[str]:
        """The names of the sections that any article of this kind may have."""
        return [name for name in self.sections if name != PRODUCT and not name.startswith(CLOSE)]


@cache
def kinds() -> Mapping[str, Kind]:
    folder = files("blogworker.simulator.writer") / "kinds"
    texts = {file.name.removesuffix(".md"): file for file in folder.iterdir() if file.name.endswith(".md")}
    return {name: _kind(name, texts[name].read_text(encoding="utf-8")) for name in sorted(texts)}


@cache
def goods() -> Mapping[str, Kind]:
    """The kind of any product, by language."""
    folder = files("blogworker.simulator.writer") / "goods"
    texts = {file.name.removesuffix(".md"): file for file in folder.iterdir() if file.name.endswith(".md")}
    return {language: _kind(GOODS, texts[language].read_text(encoding="utf-8")) for language in sorted(texts)}


@cache
def kind_of_phrase() -> Mapping[str, Kind]:
    return {phrase: kind for kind in kinds().values() for phrase in kind.answers}


def _kind(name: str, text: str) -> Kind:
    head, parts = _parts(_COMMENT.sub("", text))
    told = _fields(head)
    answers = [_answer(title, body) for mark, title, body in parts if mark == "?"]
    return Kind(
        name=name,
        noun=told["noun"][0],
        shown=told.get("shown", [f"a {told['noun'][0]}"])[0],
        nouns=_words(told, "nouns"),
        perhaps=_words(told, "perhaps"),
        when=_words(told, "when"),
        places=_list(told["places"]),
        tags=_list(told.get("tags", [])),
        angles={title: _angle(title, body) for mark, title, body in parts if mark == "="},
        sections=dict(_section(title, body) for mark, title, body in parts if mark == "=="),
        answers={answer.phrase: answer for answer in answers},
        said={name: values[0] for name, values in told.items() if name not in OF_A_KIND},
    )


def _parts(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The text before the first mark, then each part: its mark, title and body."""
    head, *pieces = _PART.split(text)
    triples = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return head, [(mark, title.strip(), body.strip()) for mark, title, body in triples]


def _angle(name: str, body: str) -> Angle:
    told = _fields(body)
    return Angle(
        name=name,
        about=told["about"][0],
        audiences=_list(told["for"]),
        intent=told["intent"][0],
        searches=_list(told.get("search", [])),
        titles=_list(told["title"]),
        asked=_list(told["asked"]),
        intros=tuple(told["intro"]),
        sections=tuple(told["sections"][0].split()),
    )


def _section(title: str, body: str) -> tuple[str, Section]:
    name, _, headings = title.partition(" | ")
    return name, Section(name, _list([headings]), tuple(re.split(r"\n{2,}", body)))


def _answer(title: str, body: str) -> Answer:
    phrase, place, headline = title.split(" | ")
    angle, _, first = place.partition(" ")
    return Answer(phrase, angle, first, headline, " ".join(body.split("\n")))


def _fields(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _matches(text):
        found.setdefault(name, []).append(value)
    return found


def _matches(text: str) -> Iterator[tuple[str, str]]:
    for match in _FIELD.finditer(text):
        yield match[1], match[2].strip()


def _words(told: Mapping[str, list[str]], field: str) -> frozenset[str]:
    return frozenset(" ".join(told.get(field, [])).split())


def _list(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(entry for value in values for entry in value.split(ALTERNATIVES) if entry)
