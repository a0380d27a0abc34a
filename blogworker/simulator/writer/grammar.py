"""English grammar as far as the articles need it: number, gerunds, titles, and `Pen`, which fills slots."""

import re
from collections.abc import Mapping, Sequence
from random import Random

_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa])n? (?=(\W*)(\w+))")
_START = re.compile(r"(^|[.!?]\s+)([\"“*(]*)([a-z])")
_VOWEL_SOUND = re.compile(r"(?i)(?!one|uni|use|usu|usa|eu|ukul|ut[ie])[aeiou]|hour|honest|heir|8|11\b|18\b")
_SMALL_WORDS = frozenset(
    ("a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "nor", "of", "on", "onto", "or", "over",
     "per", "the", "to", "via", "vs", "with")
)  # fmt: skip
_DOUBLED = frozenset(
    ("get", "set", "run", "plan", "cut", "put", "shop", "stop", "begin", "let", "sit", "swim", "fit", "wrap", "trim")
)
_UNCHANGED_PLURALS = frozenset({"glass", "dress", "canvas", "atlas", "gas", "lens", "bus", "yoga", "focus", "moss"})
_PLURAL_ONLY = frozenset({"jeans", "trousers", "shorts", "leggings", "headphones", "glasses", "scissors", "pants"})


def is_plural(word: str) -> bool:
    """Whether a noun looks plural."""
    word = word.lower()
    if word in _PLURAL_ONLY or word in ("people", "children", "men", "women"):
        return True
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _UNCHANGED_PLURALS


def singular(word: str) -> str:
    """A plural word's singular, by rule."""
    if not is_plural(word) or len(word) < 4:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "oes")):
        return word[:-2]
    if word.endswith("ves") and word not in ("gloves", "sleeves", "stoves", "olives"):
        return word[:-3] + "f"
    return word[:-1]


def gerund(verb: str) -> str:
    """`care` -> `caring`."""
    if verb in _DOUBLED:
        return f"{verb}{verb[-1]}ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + "ing"


def title_case(text: str) -> str:
    """Each word of weight with a capital; words that have capitals of their own stay as they are."""
    words = text.split(" ")
    found = []
    for index, word in enumerate(words):
        inner = 0 < index < len(words) - 1 and not words[index - 1].endswith((":", "?", "!"))
        found.append(word if inner and word.lower() in _SMALL_WORDS else upper_first(word))
    return " ".join(found)


def upper_first(text: str) -> str:
    """The text with a capital at its first letter, past quotes and stars."""
    for index, sign in enumerate(text):
        if sign.isalpha():
            return text[:index] + sign.upper() + text[index + 1 :]
        if sign.isdigit():
            return text
    return text


def cut(text: str, limit: int) -> str:
    """The text, ended at a word if it is too long."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    short = text[: limit + 1].rsplit(" ", 1)[0] if " " in text[: limit + 1] else text[:limit]
    words = short.split(" ")
    while len(words) > 1 and words[-1].strip(",;:\u2013-&").lower() in _SMALL_WORDS | {"", "its", "that", "what", "is"}:
        words.pop()
    return " ".join(words).rstrip(" ,;:\u2013-&")


def tidy(text: str) -> str:
    """Articles that fit the next word, capitals at the start of sentences, no doubled stops."""
    text = _ARTICLE.sub(lambda m: f"{m[1]}{'n' if _VOWEL_SOUND.match(m[3]) else ''} ", text)
    text = re.sub(r"([.!?])([”\"]?)\.", r"\1\2", text)
    return _START.sub(lambda m: m[1] + m[2] + m[3].upper(), text)


class Pen:
    """Fills phrases. The alternatives of a slot are used in turn, so that none comes back too soon."""

    def __init__(self, random: Random, slots: Mapping[str, str | Sequence[str]]) -> None:
        self._random = random
        self._slots = slots
        self._queues: dict[str, list[str]] = {}

    def knows(self, phrase: str) -> bool:
        """Whether every slot of a phrase can be filled."""
        return all(name in self._slots for name in _SLOT.findall(phrase))

    def write(self, phrase: str) -> str:
        """The phrase with choices made and slots filled, as tidy text."""
        return tidy(self._filled(phrase))

    def fragment(self, phrase: str) -> str:
        """The same for a part of a sentence: no capital is forced."""
        return _ARTICLE.sub(lambda m: f"{m[1]}{'n' if _VOWEL_SOUND.match(m[3]) else ''} ", self._filled(phrase))

    def _filled(self, phrase: str) -> str:
        phrase = _CHOICE.sub(lambda m: self._random.choice(m[1].split("|")), phrase)
        while _SLOT.search(phrase):
            phrase = _SLOT.sub(lambda m: self._word(m[1]), phrase)
        return phrase

    def _word(self, name: str) -> str:
        value = self._slots[name]
        if isinstance(value, str):
            return value
        queue = self._queues.get(name)
        if not queue:
            queue = self._queues[name] = self._random.sample(list(value), len(value))
        return queue.pop()
