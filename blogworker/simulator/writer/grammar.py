"""The English grammar that the articles need: plurals, gerunds, title case, and `PhraseFiller`, which fills slots."""

import re
from collections.abc import Mapping, Sequence
from random import Random

_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa])n? (?=(\W*)(\w+))")
_SENTENCE_START = re.compile(r"(?:^|[.!?]\s+)[\"“*(]*$")  # the text before the first word of a sentence
_VOWEL_SOUND = re.compile(r"(?i)(?!one|uni|use|usu|usa|eu|ukul|ut[ie])[aeiou]|hour|honest|heir|8|11\b|18\b")
_SMALL_WORDS = frozenset(
    ("a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "nor", "of", "on", "onto", "or", "over",
     "per", "the", "to", "via", "vs", "with")
)  # fmt: skip
_DOUBLES_CONSONANT = frozenset(
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
    """The singular of a noun, by rule."""
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
    """The gerund of a verb: `care` becomes `caring`."""
    if verb in _DOUBLES_CONSONANT:
        return f"{verb}{verb[-1]}ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + "ing"


def title_case(text: str) -> str:
    """Title case: small words such as `of` keep their case, except at the start, at the end and after a colon."""
    words = text.split(" ")
    found = []
    for index, word in enumerate(words):
        inner = 0 < index < len(words) - 1 and not words[index - 1].endswith((":", "?", "!"))
        found.append(word if inner and word.lower() in _SMALL_WORDS else upper_first(word))
    return " ".join(found)


def upper_first(text: str) -> str:
    """The text with its first letter in upper case. Quotes and asterisks before it are skipped."""
    for index, character in enumerate(text):
        if character.isalpha():
            return text[:index] + character.upper() + text[index + 1 :]
        if character.isdigit():
            return text
    return text


def cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, at the end of a word."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    short = text[: limit + 1].rsplit(" ", 1)[0] if " " in text[: limit + 1] else text[:limit]
    words = short.split(" ")
    while len(words) > 1 and words[-1].strip(",;:\u2013-&").lower() in _SMALL_WORDS | {"", "its", "that", "what", "is"}:
        words.pop()
    return " ".join(words).rstrip(" ,;:\u2013-&")


def tidy(text: str) -> str:
    """Correct `a` and `an`, and remove doubled full stops."""
    return without_doubled_stops(with_articles(text))


def with_articles(text: str) -> str:
    return _ARTICLE.sub(lambda m: f"{m[1]}{'n' if _VOWEL_SOUND.match(m[3]) else ''} ", text)


def without_doubled_stops(text: str) -> str:
    return re.sub(r"([.!?])([”\"]?)\.", r"\1\2", text)


class PhraseFiller:
    """Fills the slots of phrases. All alternatives of a slot are used once before one is used again."""

    def __init__(self, random: Random, slots: Mapping[str, str | Sequence[str]], *, is_english: bool = True) -> None:
        self._random = random
        self._is_english = is_english
        self._slots = slots
        self._queues: dict[str, list[str]] = {}

    def can_fill(self, phrase: str) -> bool:
        """Whether all slots of a phrase are known."""
        return all(name in self._slots for name in _SLOT.findall(phrase))

    def fill(self, phrase: str) -> str:
        """The phrase as whole sentences, with choices made and slots filled. Raises KeyError for an unknown slot."""
        filled = self._with_slots_filled(phrase, sentences=True)
        return tidy(filled) if self._is_english else without_doubled_stops(filled)

    def fill_fragment(self, phrase: str) -> str:
        """The same for a part of a sentence, without a capital at the start."""
        return with_articles(self._with_slots_filled(phrase)) if self._is_english else self._with_slots_filled(phrase)

    def _with_slots_filled(self, phrase: str, *, sentences: bool = False) -> str:
        """`sentences`: start sentences with a capital. The full stop of a name, as in `Co.`, ends none."""
        phrase = _CHOICE.sub(lambda m: self._random.choice(m[1].split("|")), phrase)
        phrase = upper_first(phrase) if sentences and not phrase.startswith("{") else phrase

        def filled(slot: re.Match[str]) -> str:
            word = self._word(slot[1])
            return upper_first(word) if sentences and _SENTENCE_START.search(slot.string[: slot.start()]) else word

        return _SLOT.sub(filled, phrase)  # once: braces in a text of the source are no slots

    def _word(self, name: str) -> str:
        value = self._slots[name]
        if isinstance(value, str):
            return value
        queue = self._queues.get(name)
        if not queue:
            queue = self._queues[name] = self._random.sample(list(value), len(value))
        return queue.pop()
