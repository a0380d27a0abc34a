"""Converts search phrases to topics: `how often to water an orchid` becomes `watering an orchid`."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from blogworker.simulator.writer.grammar import gerund, is_plural, singular

_LEADING = re.compile(r"^(?:the )?(?:best|top(?: \d+)?|\d+|good|cheap|cheapest)\s+(?=\S+)", re.IGNORECASE)
_TRAILING = re.compile(
    r"\s+(?:in |for )?20\d\d$|[?.!]+$"
    r"|\s+(?:ideas|tips|tricks|guide|trends|inspiration|basics|explained|meaning|review|reviews)$",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"^(?:how|what|why|when|where|which|who|is|are|was|were|do|does|did|can|could|should|will|would)\b", re.IGNORECASE
)
_QUESTION = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|should|will|would"
    r"|\w+(?: often| long| much| many)? (?:is|are|was|were|do|does|did|can|could|should|will|would|makes?|causes?))\b",
    re.IGNORECASE,
)
_INNER_QUESTION = re.compile(r"\s(?:which|what|where|when|how)\s.*$", re.IGNORECASE)
_TO_DO = re.compile(r"^(?:how|what|when|where|which|who)(?: often| long| much| many)? to (\w+)\s*(.*)$", re.IGNORECASE)
_AUXILIARIES = re.compile(
    r"^(?:how|what|why|when|where|which|who|often|long|much|many|is|are|was|were|do|does|did|can|could|should|will|would"
    r"|makes?|causes?|my|your|our|their|the|it|there|you|we|i)\s+",
    re.IGNORECASE,
)
_NOT_NOUNS = frozenset(
    """
    is are was were be do does did can could should will would fit fits mean means taste tastes stay stays go goes
    going last lasts work works cost costs need needs help helps matter look looks tunnel grow grows die stop turn
    turns smell good bad better worse best safe worth different real so to for in on at with without from of and
    or than as that not break breaks shrink shrinks fade fades wear rust rusts
    """.split()  # noqa: SIM905 - easier to read than a list
)
_IMPERATIVES = frozenset(
    """
    make stop build choose grow clean fix repair mend sew bake brew cook pack plan paint start learn store keep save
    wash water plant prune style decorate prepare write train teach find get set turn buy sell use try care layer
    """.split()  # noqa: SIM905 - easier to read than a list
)
_UNCOUNTABLE = frozenset(
    """
    coffee tea matcha bread sourdough jam honey chocolate pasta cheese incense yoga meditation running sleep fitness
    photography software granola children marketing travel therapy coaching consulting wax oil soap skincare espresso
    granola soup consulting accounting paper ink stationery photography compost moss
    """.split()  # noqa: SIM905 - easier to read than a list
)
_PREPOSITION = re.compile(r",|\s[-\u2013|(]|\s(?:for|with|in|of|from|to|on|and|by|under|at|without|that|which)\s")


@dataclass(frozen=True, slots=True)
class Topic:
    """The topic of a phrase. `phrase` is its name within a sentence."""

    phrase: str
    plural: bool = False
    question: str = ""  # the original phrase, if it is a question


def topic_of(name: str) -> Topic:
    """The topic of a search phrase or a title."""
    text = _TRAILING.sub("", _TRAILING.sub("", " ".join(name.split())))
    text = _LEADING.sub("", text) or name
    text = text if any(sign.isupper() for sign in text[1:]) else text.lower()
    if match := _TO_DO.match(text):
        question = "" if text.lower().startswith("how to ") else text
        return Topic(f"{gerund(match[1].lower())} {match[2]}".strip(), question=question)
    if _ASKING.match(text):
        return _question_topic(text)
    first, _, rest = text.partition(" ")
    if first.lower() in _IMPERATIVES and rest and not is_plural(rest.split()[0]):
        return Topic(f"{gerund(first.lower())} {rest}")
    if first.endswith("ing") and rest and len(first) > 5 and not is_known_noun(first):
        return Topic(text)
    text = _INNER_QUESTION.sub("", text)
    return _noun_topic(re.sub(r"\bvs\.?\b", "versus", text))


def head_noun(name: str) -> str:
    """The head noun, which decides the number: the last word before the first preposition."""
    words = _PREPOSITION.split(f"{name} ")[0].split()
    while len(words) > 1 and words[-1].lower() in _NOT_NOUNS:  # `plants safe for cats`
        words.pop()
    return re.sub(r"\W+$", "", words[-1]) if words else name


def _question_topic(question: str) -> Topic:
    """The topic of a question: its first words that are not auxiliaries or verbs."""
    rest, previous = question, ""
    while rest != previous:
        previous, rest = rest, _AUXILIARIES.sub("", rest)
    words: list[str] = []
    for word in rest.split():
        if word.lower() in _NOT_NOUNS or len([w for w in words if w not in ("a", "an")]) == 2:
            break
        words.append(word)
    if words[:1] in (["a"], ["an"]):
        words = words[1:]
    topic = _noun_topic(" ".join(words) or rest)
    return Topic(topic.phrase, topic.plural, question=question if _QUESTION.match(question) else "")


def _noun_topic(text: str) -> Topic:
    head = head_noun(text)
    many = is_plural(head) or (" or " in text and is_plural(text.split()[-1]))
    bare = re.sub(r"^(?:a|an) ", "", text)
    return Topic(f"a {bare}" if _is_countable(head) and not many else bare, plural=many)


def _is_countable(word: str) -> bool:
    """Whether a word is a known countable noun. Unknown words get no article: a wrong one would be worse."""
    word = word.lower()
    return singular(word) == word and word not in _UNCOUNTABLE and is_known_noun(word)


def head_nouns(phrase: str) -> list[str]:
    """The head nouns of a search phrase: the last word of each part between its prepositions.

    `how to sharpen a knife with a whetstone` is about the knife first; `tea towels` about towels, not about tea.
    """
    parts = _PREPOSITION.split(f"{_TRAILING.sub('', phrase)} ")
    return [head for part in parts for head in [_last_noun(part)] if head]


def _last_noun(part: str) -> str:
    words = re.findall(r"[a-z][a-z'-]*", part)
    while len(words) > 1 and words[-1] in _NOT_NOUNS:
        words.pop()
    return words[-1] if words else ""


def is_known_noun(word: str) -> bool:
    """Whether a word is in `nouns.txt`, in the singular or the plural."""
    return word.lower() in _known_nouns() or singular(word.lower()) in _known_nouns()


@cache
def _known_nouns() -> frozenset[str]:
    text = (files("blogworker.simulator.writer") / "nouns.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
