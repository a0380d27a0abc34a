"""Whether a text is plainly in another language than asked for: by its script, else by its commonest words.

A sieve for the gross mistake of a model that answers in English whatever it was asked, not a judge of style: where it
knows too little of a language, or a text is too short, it says nothing.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LEAST_WORDS = 80
PLAINLY = 3  # times as many of another language's common words as of the right one's
TELLING = 8  # of them at least: single words are common to many languages
TELLING_OF_ONE = 6  # in one paragraph
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


def plainly_another(text: str, language: str) -> str | None:
    """The tag of the language the text is in, if that is plainly not this one; else None."""
    wanted = language.lower().partition("-")[0]
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < LEAST_WORDS:
        return None
    script = SCRIPTS.get(wanted)
    if script is not None:
        return None if _share(text, script) > 0.2 else likeliest(words) or "another script"
    if wanted not in STOP_WORDS:
        return None
    counts = _counts(words)
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] >= max(TELLING, PLAINLY * counts[wanted]) else None


def paragraph_in_another(paragraphs: Iterable[str], language: str) -> tuple[str, str]:
    """The first of these that is plainly in another language, and the tag of that; empty if there is none."""
    wanted = language.lower().partition("-")[0]
    for paragraph in paragraphs if wanted in STOP_WORDS else ():
        words = re.findall(r"[^\W\d_]+", paragraph.lower())
        counts = _counts(words)
        best = max(counts, key=lambda tag: counts[tag])
        if counts[best] >= max(TELLING_OF_ONE, PLAINLY * counts[wanted]):
            return paragraph, best
    return "", ""


def _share(text: str, script: str) -> float:
    """Of the letters, those of a script."""
    letters = [sign for sign in text if sign.isalpha()]
    return sum(unicodedata.name(sign, "").startswith(script) for sign in letters) / max(1, len(letters))


def _counts(words: list[str]) -> Counter[str]:
    """Different ones: a text that repeats itself proves nothing."""
    return Counter({tag: len(common.intersection(words)) for tag, common in STOP_WORDS.items()})


def likeliest(words: list[str]) -> str | None:
    """The language whose common words are most among these; None without any."""
    counts = _counts(words)
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] else None
