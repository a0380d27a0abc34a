"""Finds letters of two scripts in one word: `Baumwоlle` with a Cyrillic `о` looks right, but no search finds it."""

import re
import unicodedata

from blogworker.post.defects.kind import PostContext

LOOKALIKES = {
    "CYRILLIC": dict(zip("асеһіјорѕхуАВЕНІЈКМОРЅТХУ", "acehijopsxyABEHIJKMOPSTXY", strict=True)),
    "GREEK": dict(zip("ονικυχρΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ovikuxpABEZHIKMNOPTYX", strict=True)),
}
LATIN_FOR = {letter: latin for script in LOOKALIKES.values() for letter, latin in script.items()}
CYRILLIC_FOR = {latin: letter for letter, latin in LOOKALIKES["CYRILLIC"].items()}
OTHERS = re.compile("[\u0370-\u052f]")
# Cyrillic, Hebrew, Arabic, Devanagari, Thai, Hangul, kana and Han, in words of two letters and more; and Han alone.
FOREIGN = re.compile(
    "[\u0400-\u052f\u0590-\u06ff\u0900-\u097f\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\uac00-\ud7af]{2,}|[\u3400-\u9fff]+"
)
MOST_FOREIGN = 0.1  # share of the letters
QUOTING = tuple("([{\"'“„«»‹‘*_（「")
WORD = re.compile(r"[^\W\d_]+")


def one_script(text: str, context: PostContext) -> str:
    """Write each word in the script of most of its letters, if the others are lookalikes."""
    return WORD.sub(lambda found: _in_one_script(found[0]), text) if OTHERS.search(text) else text


def mixed(text: str, context: PostContext) -> str:
    """Return the first word that mixes Latin and Cyrillic and cannot be repaired. Greek letters may be symbols."""
    if not OTHERS.search(text):
        return ""
    words = (word for word in WORD.findall(text) if _scripts(word) >= {"LATIN", "CYRILLIC"})
    return next((word for word in words if not context.source_has(word)), "")


def foreign(text: str, context: PostContext) -> str:
    """Return the first word of another script in a Latin text, unless it is quoted or in brackets."""
    if text.isascii() or not (found := FOREIGN.search(text)):
        return ""
    foreign_letters = sum(len(word) for word in FOREIGN.findall(text))
    if foreign_letters > MOST_FOREIGN * sum(map(str.isalpha, text)):
        return ""  # a text of that script
    while found:
        if text[found.start() - 1 : found.start()] not in QUOTING and not context.source_has(found[0]):
            return found[0]
        found = FOREIGN.search(text, found.end())
    return ""


def _in_one_script(word: str) -> str:
    if len(_scripts(word)) < 2:
        return word
    latin = sum(_script(letter) == "LATIN" for letter in word)
    others = [letter for letter in word if _script(letter) != "LATIN"]
    if latin >= len(others) and all(letter in LATIN_FOR for letter in others):
        return "".join(LATIN_FOR.get(letter, letter) for letter in word)
    if _scripts(word) == {"LATIN", "CYRILLIC"} and all(s in CYRILLIC_FOR for s in word if _script(s) == "LATIN"):
        return "".join(CYRILLIC_FOR.get(letter, letter) for letter in word)
    return word


def _scripts(word: str) -> set[str]:
    return {script for letter in word if (script := _script(letter))}


def _script(letter: str) -> str:
    if letter < "\u0250":
        return "LATIN"
    if "\u0370" <= letter <= "\u052f" and letter.isalpha():
        return unicodedata.name(letter, "").partition(" ")[0]
    return ""
