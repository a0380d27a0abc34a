"""Letters of two scripts within one word: a Cyrillic `о` in `Baumwоlle` looks right, and no search finds the word."""

import re
import unicodedata

from blogworker.post.defects.kind import Known

LOOKALIKES = {
    "CYRILLIC": dict(zip("асеһіјорѕхуАВЕНІЈКМОРЅТХУ", "acehijopsxyABEHIJKMOPSTXY", strict=True)),
    "GREEK": dict(zip("ονικυχρΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ovikuxpABEZHIKMNOPTYX", strict=True)),
}
ALL = {sign: latin for script in LOOKALIKES.values() for sign, latin in script.items()}
CYRILLIC_FOR = {latin: sign for sign, latin in LOOKALIKES["CYRILLIC"].items()}
OTHERS = re.compile("[\u0370-\u052f]")
# Cyrillic, Hebrew, Arabic, Devanagari, Thai, Hangul, kana and Han, in words of two letters and more; and Han alone.
FOREIGN = re.compile(
    "[\u0400-\u052f\u0590-\u06ff\u0900-\u097f\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\uac00-\ud7af]{2,}|[\u3400-\u9fff]+"
)
MOST_STRANGE = 0.1  # of the letters
TOLD_OF = tuple("([{\"'“„«»‹‘*_（「")
WORD = re.compile(r"[^\W\d_]+")


def one_script(text: str, known: Known) -> str:
    """Each word in the script of most of its letters, where the strange ones only look like them."""
    return WORD.sub(lambda found: _mended(found[0]), text) if OTHERS.search(text) else text


def mixed(text: str, known: Known) -> str:
    """The first word that mixes Latin and Cyrillic and cannot be put right. Greek letters are units and symbols."""
    if not OTHERS.search(text):
        return ""
    return next(
        (word for word in WORD.findall(text) if _kinds(word) >= {"LATIN", "CYRILLIC"} and not known.holds(word)), ""
    )


def foreign(text: str, known: Known) -> str:
    """The first word of another script in a text in Latin letters. In brackets and quotation marks it is told of."""
    if text.isascii() or not (found := FOREIGN.search(text)):
        return ""
    strange = sum(len(word) for word in FOREIGN.findall(text))
    if strange > MOST_STRANGE * sum(map(str.isalpha, text)):
        return ""  # a text of that script
    while found:
        if text[found.start() - 1 : found.start()] not in TOLD_OF and not known.holds(found[0]):
            return found[0]
        found = FOREIGN.search(text, found.end())
    return ""


def _mended(word: str) -> str:
    if len(_kinds(word)) < 2:
        return word
    latin = sum(_script(sign) == "LATIN" for sign in word)
    strange = [sign for sign in word if _script(sign) != "LATIN"]
    if latin >= len(strange) and all(sign in ALL for sign in strange):
        return "".join(ALL.get(sign, sign) for sign in word)
    if _kinds(word) == {"LATIN", "CYRILLIC"} and all(s in CYRILLIC_FOR for s in word if _script(s) == "LATIN"):
        return "".join(CYRILLIC_FOR.get(sign, sign) for sign in word)
    return word


def _kinds(word: str) -> set[str]:
    return {script for sign in word if (script := _script(sign))}


def _script(sign: str) -> str:
    if sign < "\u0250":
        return "LATIN"
    if "\u0370" <= sign <= "\u052f" and sign.isalpha():
        return unicodedata.name(sign, "").partition(" ")[0]
    return ""
