"""Converts descriptions of products, which can have HTML, to plain sentences and facts."""

import html
import re
import unicodedata

_BREAKS = re.compile(r"(?i)<\s*(?:br|/p|/div|/li|/h[1-6]|/tr|/ul|/ol|/table)\b[^>]*>")
_DROPPED = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_SENTENCE_END = re.compile(  # not behind an abbreviation that a number or noun follows
    r"(?<=[.!?])(?<!\bca\.)(?<!\bapprox\.)(?<!\benv\.)(?<!\baprox\.)(?<!\bz\.)(?<!\bz\.B\.)(?<!\bz\. B\.)(?<!\bbzw\.)"
    r"\s+(?=[A-Z0-9“\"'])"
)
_MARKUP = re.compile(r"[*_`#<>|\[\]\\~]")
# `Material: speckled stoneware. Size: 9 cm tall.`: facts that end a description.
_FACT = re.compile(r"([A-Z][a-z]{1,20}(?: [a-z]{1,20}){0,2}): ([^:]+)\.")
_ROW = re.compile(r"([^\W\d_][^:.!?]{1,30}): ((?:[^:.!?]|[.!?](?!\s)){1,80}?)\.?")
_CONTACT = re.compile(r"[\w.]@[\w.]|\d[\d ()/-]{6,}\d|www\.")
_REPEATED_MARKS = re.compile(r"([!?])[!?]+")
_LABEL = re.compile(r"^[A-Z]{3,}[!:]? (?=[A-Z])")  # NEW, SALE
_FULL_STOP = re.compile(r"(?<=\.)\s+")
SHORTEST, LONGEST, LONGEST_FEATURE = 20, 220, 80
ADDRESS = "://"  # sentences that contain one are not quoted


def plain(text: str) -> str:
    """The text in one line without HTML. Entities become characters."""
    return " ".join(_untagged(text).split())


def sentences(text: str) -> list[str]:
    """The sentences that can be quoted, without duplicates."""
    found: list[str] = []
    for line in _untagged(text).split("\n"):
        for part in _SENTENCE_END.split(" ".join(line.split())):
            plain_part = " ".join(_REPEATED_MARKS.sub(r"\1", without_emoji(part)).split())
            sentence = _MARKUP.sub("", _LABEL.sub("", plain_part)).strip(' -•\u00b7\u2013\t"“”')
            if SHORTEST <= len(sentence) <= LONGEST and sentence not in found and not is_contact(sentence):
                found.append(sentence)
    return found


def description_facts(text: str) -> tuple[dict[str, str], str]:
    """The labelled facts of a description, as lines or at its end, and the remaining lines."""
    *before, last = _lines(text) or [""]
    sentences = _FULL_STOP.split(last)
    ending: list[tuple[str, str]] = []
    while sentences and (fact := _FACT.fullmatch(sentences[-1])):
        ending.append((fact[1], without_markup(fact[2])))
        sentences.pop()
    found: dict[str, str] = {}
    rest: list[str] = []
    for line in [*before, " ".join(sentences)]:
        if (row := _ROW.fullmatch(line)) and not is_contact(line):
            value = without_markup(row[2])
            found[row[1]] = f"{found[row[1]]}, {value}" if row[1] in found else value
        else:
            rest.append(line)
    return {**found, **dict(reversed(ending))}, "\n".join(filter(None, rest))


def features(text: str) -> list[str]:
    """The lines that are not sentences, such as list items."""
    lines = [without_markup(line).strip(" -•\u00b7\u2013") for line in text.split("\n")]
    items = [
        line for line in lines if line and len(line) <= LONGEST_FEATURE and not line.endswith((".", "!", "?", ":"))
    ]
    return list(dict.fromkeys(line for line in items if not is_contact(line)))


def is_contact(text: str) -> bool:
    """Whether a text has contact data or a URL, which do not belong in a post."""
    return ADDRESS in text or bool(_CONTACT.search(text))


def _lines(text: str) -> list[str]:
    return [line for line in (" ".join(line.split()) for line in _untagged(text).split("\n")) if line]


def without_markup(text: str) -> str:
    """The text in one line, without HTML, emoji and characters of Markdown syntax."""
    return " ".join(_MARKUP.sub(" ", without_emoji(plain(text))).split())


def without_emoji(text: str) -> str:
    """Remove emoji and other symbols, except ° and trademark signs."""
    return "".join(letter for letter in text if unicodedata.category(letter) != "So" or letter in "°®©™")


def _untagged(text: str) -> str:
    # Entities are decoded twice, because shops often escape a description twice.
    text = html.unescape(text)
    text = _TAG.sub("", _BREAKS.sub("\n", _DROPPED.sub("", text)))
    return html.unescape(text).replace("\xa0", " ")
