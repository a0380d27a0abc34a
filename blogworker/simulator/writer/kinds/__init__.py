"""The prepared articles, one file per kind of product. Each file is read once.

    facts: Fact                      phrases around the facts of a product; also `range`, `labels`, `link` and others
    noun: tea                        what the product is called
    shown: a pot of tea              what its picture shows; default: the noun
    nouns: raincoat                  singular nouns that name this kind and no other
    perhaps: jacket shell            nouns that name this kind if the source also has a word of `when`
    when: waterproof rain
    places: on a table / by a sink   where its picture shows it
    tags: mugs / stoneware

    = care                           an angle: `about`, `for`, `intent`, `search` (phrases), `title` (for a product),
                                     `asked` (titles for a topic), `intro` (one or more), `sections` (their names)
    == washing | Heading / Another   a section. `product` is the one about a product's facts; sections whose names begin
                                     with `close` end an article
    ? does a mug break | care shock | Title
                                     a search phrase, the angle of its answer, and the section that comes first, if
                                     that is not the first of the angle; then the answer, which opens the article

Text is Markdown with slots in braces. A sentence with an unknown slot is left out, so that everything an article says
about a product comes from its own description. The other sentences have no measures: they are true of every product of
the kind.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ALTERNATIVES = " / "
ANY = "anything"  # the kind of subjects that have no other
GOODS = "goods"  # the kind of products that have no other; it has articles in several languages
ENGLISH = "en"
PRODUCT, CLOSE = "product", "close"
KIND_FIELDS = frozenset({"noun", "shown", "nouns", "perhaps", "when", "places", "tags"})
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
    searches: tuple[str, ...]  # search phrases of its readers
    titles: tuple[str, ...]  # of articles about a product
    topic_titles: tuple[str, ...]  # of articles about a topic, after its name
    intros: tuple[str, ...]
    sections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A prepared answer to a search phrase."""

    phrase: str
    angle: str
    first_section: str  # name of the section that comes first; empty: the first one of the angle
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product with its angles, sections and answers."""

    name: str
    noun: str
    picture_phrase: str
    nouns: frozenset[str]
    ambiguous_nouns: frozenset[str]
    context_words: frozenset[str]
    places: tuple[str, ...]
    tags: tuple[str, ...]
    angles: Mapping[str, Angle]
    sections: Mapping[str, Section]
    answers: Mapping[str, Answer]
    phrases: Mapping[str, str]  # phrases around the facts of a product

    def matches(self, noun: str, words: Collection[str]) -> bool:
        """Whether a noun, in a source with these words, names a product of this kind.

        In doubt it does not: an article about merino is not true of a cotton sock.
        """
        return noun in self.nouns or (noun in self.ambiguous_nouns and not self.context_words.isdisjoint(words))

    @property
    def closings(self) -> list[Section]:
        return [section for name, section in self.sections.items() if name.startswith(CLOSE)]

    @property
    def bodies(self) -> list[str]:
        """The names of the sections in the middle of an article."""
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
    fields = _fields(head)
    answers = [_answer(title, body) for mark, title, body in parts if mark == "?"]
    return Kind(
        name=name,
        noun=fields["noun"][0],
        picture_phrase=fields.get("shown", [f"a {fields['noun'][0]}"])[0],
        nouns=_words(fields, "nouns"),
        ambiguous_nouns=_words(fields, "perhaps"),
        context_words=_words(fields, "when"),
        places=_list(fields["places"]),
        tags=_list(fields.get("tags", [])),
        angles={title: _angle(title, body) for mark, title, body in parts if mark == "="},
        sections=dict(_section(title, body) for mark, title, body in parts if mark == "=="),
        answers={answer.phrase: answer for answer in answers},
        phrases={name: values[0] for name, values in fields.items() if name not in KIND_FIELDS},
    )


def _parts(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The text before the first part, then the mark, title and body of each part."""
    head, *pieces = _PART.split(text)
    triples = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return head, [(mark, title.strip(), body.strip()) for mark, title, body in triples]


def _angle(name: str, body: str) -> Angle:
    fields = _fields(body)
    return Angle(
        name=name,
        about=fields["about"][0],
        audiences=_list(fields["for"]),
        intent=fields["intent"][0],
        searches=_list(fields.get("search", [])),
        titles=_list(fields["title"]),
        topic_titles=_list(fields["asked"]),
        intros=tuple(fields["intro"]),
        sections=tuple(fields["sections"][0].split()),
    )


def _section(title: str, body: str) -> tuple[str, Section]:
    name, _, headings = title.partition(" | ")
    return name, Section(name, _list([headings]), tuple(re.split(r"\n{2,}", body)))


def _answer(title: str, body: str) -> Answer:
    phrase, place, headline = title.split(" | ")
    angle, _, first_section = place.partition(" ")
    return Answer(phrase, angle, first_section, headline, " ".join(body.split("\n")))


def _fields(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _matches(text):
        found.setdefault(name, []).append(value)
    return found


def _matches(text: str) -> Iterator[tuple[str, str]]:
    for match in _FIELD.finditer(text):
        yield match[1], match[2].strip()


def _words(fields: Mapping[str, list[str]], field: str) -> frozenset[str]:
    return frozenset(" ".join(fields.get(field, [])).split())


def _list(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(entry for value in values for entry in value.split(ALTERNATIVES) if entry)
