"""Descriptions as shops write them, HTML and all, turned into plain sentences."""

import html
import re

_BREAKS = re.compile(r"(?i)<\s*(?:br|/p|/div|/li|/h[1-6]|/tr|/ul|/ol|/table)\b[^>]*>")
_DROPPED = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9“\"'])")
_MARKUP = re.compile(r"[*_`#<>|\[\]\\~]")
# `Material: speckled stoneware. Size: 9 cm tall.`: facts that end a description.
_FACT = re.compile(r"([A-Z][a-z]{1,20}(?: [a-z]{1,20}){0,2}): ([^:]+)\.")
_FULL_STOP = re.compile(r"(?<=\.)\s+")
SHORTEST, LONGEST = 20, 220
ADDRESS = "://"  # sentences that contain one are not quoted


def plain(text: str) -> str:
    """One line of text without markup; entities become characters."""
    return " ".join(_untagged(text).split())


def sentences(text: str) -> list[str]:
    """The sentences worth quoting, each ending in a full stop, none twice."""
    found: list[str] = []
    for line in _untagged(text).split("\n"):
        for part in _SENTENCE_END.split(" ".join(line.split())):
            sentence = _MARKUP.sub("", part).strip(' -•\u00b7\u2013\t"“”')
            if SHORTEST <= len(sentence) <= LONGEST and sentence not in found and ADDRESS not in sentence:
                found.append(sentence)
    return found


def facts_of(text: str) -> tuple[dict[str, str], str]:
    """The facts at the end of a description, by label, and the text before them."""
    sentences = _FULL_STOP.split(plain(text))
    found: list[tuple[str, str]] = []
    while sentences and (fact := _FACT.fullmatch(sentences[-1])):
        found.append((fact[1], without_markup(fact[2])))
        sentences.pop()
    return dict(reversed(found)), " ".join(sentences)


def without_markup(text: str) -> str:
    """Text without characters that have a meaning in markdown."""
    return " ".join(_MARKUP.sub(" ", plain(text)).split())


def _untagged(text: str) -> str:
    # Entities first and last: shops often escape a description twice.
    text = html.unescape(text)
    text = _TAG.sub("", _BREAKS.sub("\n", _DROPPED.sub("", text)))
    return html.unescape(text).replace("\xa0", " ")
