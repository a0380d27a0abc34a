"""Detect Windows-1252, the encoding in which Western European spreadsheets save CSV.

Any bytes can be decoded as Windows-1252, but other code pages then give wrong letters: Cyrillic `Ðóññêàÿ`, Polish
`³¹ka`, Czech `øìka`, and `Sch”n` for `Schön` from DOS programs (code page 850). So a text is accepted only if its
letters form Western European words.
"""

import re

CODE_PAGE = "cp1252"
SAMPLE = 1 << 18  # bytes at the beginning of a file that are checked
LETTERS = "ÄÖÜäöüßÀÂÆÇÈÉÊËÎÏÔŒÙÛàâæçèéêëîïôœùûÁÍÑÓÚáíñóúÌÒìòÃÕãõÅØåøºª"
SYMBOLS = (  # with quotation marks, dashes and the multiplication symbol
    "€„“”«»…•·°²³¹¼½¾±µ®©™§¡¿¢£¥\u2018\u2019\u201a\u2039\u203a\u2013\u2014\u00d7\u00b4\u00a0\u00ad"
)
STRANGE = re.compile(rf"[^\x00-\x7f{LETTERS}{SYMBOLS}]")
WORD = re.compile(rf"[a-zA-Z{LETTERS}²³¹¡¿µ¢£¥±]+")
LETTER = f"[a-zA-Z{LETTERS}]"
WITHIN = re.compile(  # symbols and capitals in the middle of a word; opening quotation marks also at its end
    rf"{LETTER}[³¹¡¿µ¢£¥±ºª“”‹›]{LETTER}|[a-zß-ÿ][À-ÖØ-Þ][a-zß-ÿ]|{LETTER}[‚„]"  # noqa: RUF001
)
NOT_OF_ONE_LANGUAGE = ("øì", "øí", "øè", "åì", "õö", "õü", "ûö")  # Czech and Hungarian letters of another code page


def is_western(sample: bytes) -> bool:
    """Return whether the sample is Windows-1252. It may end within a character."""
    try:
        text = sample.decode(CODE_PAGE)
    except UnicodeDecodeError:  # five byte values are not defined
        return False
    if _has_utf8(sample) or sample.isascii() or STRANGE.search(text) or WITHIN.search(text):
        return False
    letters = {letter for letter in text if not letter.isascii() and letter.isalpha()}
    if any(letters.issuperset(pair) for pair in NOT_OF_ONE_LANGUAGE):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    return all(_is_word(word) for word in words)


def _is_word(word: str) -> bool:
    """Return whether the accented letters are as few as in a word: `créée` and `Ücker`, not `ñëîâî`."""
    accented = sum(not letter.isascii() for letter in word)
    return accented <= (len(word) + 1) // 2 and not re.search(r"[^\x00-\x7f]{3}", word)


def _has_utf8(sample: bytes) -> bool:
    """Return whether it has a valid multi-byte character: then other bytes are damage, not another encoding."""
    text = sample.decode("utf-8", "surrogateescape")
    return any(letter > "\x7f" and not "\udc80" <= letter <= "\udcff" for letter in text)
