"""Whether bytes that are not UTF-8 are Windows-1252, in which spreadsheets of Western Europe save a CSV.

Any bytes can be read as Windows-1252, and other code pages then give wrong letters: Cyrillic `Ðóññêàÿ`, Polish `³¹ka`,
Czech `øìka`. So only a text counts whose letters are those of Western European words.
"""

import re

CODE_PAGE = "cp1252"
SAMPLE = 1 << 18  # bytes from the beginning of a file that are looked at
LETTERS = "ÄÖÜäöüßÀÂÆÇÈÉÊËÎÏÔŒÙÛàâæçèéêëîïôœùûÁÍÑÓÚáíñóúÌÒìòÃÕãõÅØåøºª"
SIGNS = (  # with quotation marks, dashes and the multiplication sign
    "€„“”«»…•·°²³¹¼½¾±µ®©™§¡¿¢£¥\u2018\u2019\u201a\u2039\u203a\u2013\u2014\u00d7\u00b4\u00a0\u00ad"
)
STRANGE = re.compile(rf"[^\x00-\x7f{LETTERS}{SIGNS}]")
WORD = re.compile(rf"[a-zA-Z{LETTERS}²³¹¡¿µ¢£¥±]+")
WITHIN = re.compile(rf"[a-zA-Z{LETTERS}][³¹¡¿µ¢£¥±ºª][a-zA-Z{LETTERS}]|[a-zß-ÿ][À-ÖØ-Þ][a-zß-ÿ]")
NOT_OF_ONE_LANGUAGE = ("øì", "øí", "øè", "åì", "õö", "õü", "ûö")  # Czech and Hungarian letters of another code page


def is_western(sample: bytes) -> bool:
    """The sample may end within a character."""
    try:
        text = sample.decode(CODE_PAGE)
    except UnicodeDecodeError:  # five bytes mean nothing in it
        return False
    if _has_utf8(sample) or sample.isascii() or STRANGE.search(text) or WITHIN.search(text):
        return False
    letters = {sign for sign in text if not sign.isascii() and sign.isalpha()}
    if any(letters.issuperset(pair) for pair in NOT_OF_ONE_LANGUAGE):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    return all(_is_word(word) for word in words)


def _is_word(word: str) -> bool:
    """Accented letters are few in a word, and seldom neighbours: `créée` and `Ücker`, not `ñëîâî`."""
    accented = sum(not sign.isascii() for sign in word)
    return accented <= (len(word) + 1) // 2 and not re.search(r"[^\x00-\x7f]{3}", word)


def _has_utf8(sample: bytes) -> bool:
    """Whether a character of several bytes stands in it: then a byte that is none is damage."""
    text = sample.decode("utf-8", "surrogateescape")
    return any(sign > "\x7f" and not "\udc80" <= sign <= "\udcff" for sign in text)
