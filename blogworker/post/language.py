"""Detects a text that is clearly in another language than the site's: by its script, or by its most common words.

It finds a model that answers in English instead of the requested language. It does not judge style, and it reports
nothing for a short text or a language that it does not know.
"""

import re
import unicodedata
from collections import Counter

LEAST_WORDS = 80
CLEARLY = 3  # times as many common words of another language as of the expected one
LEAST_COMMON = 8  # common words at least, because languages share single words
SCRIPTS = {
    "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "he": "HEBREW", "el": "GREEK", "hi": "DEVANAGARI", "th": "THAI",
    "ko": "HANGUL", "zh": "CJK", "ja": "HIRAGANA", "ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC",
    "ka": "GEORGIAN", "hy": "ARMENIAN",
}  # fmt: skip
COMMON = {
    "en": "the and of to is that for it with you are this but not your from have they when which will than",
    "de": "der die das und ist nicht mit ein eine den dem auf für sich auch es von zu werden oder wie sie",
    "fr": "le la les des et est une dans pour que qui pas sur avec plus vous ce au du sont cette mais",
    "es": "el la los las de que en y es una para con no por del se su más como pero un este",
    "it": "il la di che e è per un una non con sono del della le si più come anche ma gli nel",
    "pt": "o os as de que e é para com não uma por do da em se mais como mas um ao na",
    "nl": "de het een en van is niet met voor op te dat zijn die ook aan er als maar je bij of",
    "sv": "och att det som en på är av för med den till inte om ett har men kan från eller så du",
    "da": "og at det som en på er af for med den til ikke om et har men kan fra eller så du",
    "nb": "og at det som en på er av for med den til ikke om et har men kan fra eller så du",
    "no": "og at det som en på er av for med den til ikke om et har men kan fra eller så du",
    "fi": "ja on ei se että kun myös mutta tai niin ovat joka voi sen kuin ole jos sekä hyvin mitä",
    "pl": "i w na z się nie do to jest że jak o po ale co dla od lub czy są przez oraz",
    "cs": "a v na je se že to s z do o pro jako ale i nebo při jsou by když po která",
    "tr": "ve bir bu için ile de da çok daha olarak gibi ne en kadar olan sonra her ama ya veya",
    "ro": "și de în la cu o un este pe nu care pentru mai din sau ce se să sunt ca dar fi",
    "hu": "a az és hogy nem egy is van meg de ez mint vagy ha már csak el még lehet azt",
}
STOP_WORDS = {language: frozenset(words.split()) for language, words in COMMON.items()}


def other_language(text: str, language: str) -> str | None:
    """Return the tag of the text's language if it is clearly not `language`, otherwise None."""
    wanted = language.lower().partition("-")[0]
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < LEAST_WORDS:
        return None
    script = SCRIPTS.get(wanted)
    if script is not None:
        return None if _share(text, script) > 0.2 else most_likely_language(words) or "another script"
    if wanted not in STOP_WORDS:
        return None
    counts = common_counts(words)
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] >= max(LEAST_COMMON, CLEARLY * counts[wanted]) else None


def _share(text: str, script: str) -> float:
    """Return the share of the letters that are of this script."""
    letters = [character for character in text if character.isalpha()]
    return sum(unicodedata.name(letter, "").startswith(script) for letter in letters) / max(1, len(letters))


def common_counts(words: list[str]) -> Counter[str]:
    """Count the common words of each language. A repeated word counts once."""
    return Counter({tag: len(common.intersection(words)) for tag, common in STOP_WORDS.items()})


def most_likely_language(words: list[str]) -> str | None:
    """Return the language with the most common words among these; None if there are none."""
    counts = common_counts(words)
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] else None
