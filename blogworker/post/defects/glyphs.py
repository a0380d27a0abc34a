"""Removes what is not text: emoji, characters of a broken encoding, and the reasoning of a model."""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.emoji import EMOJI, EMOJI_OR_REMAINDER

RUN = re.compile(
    r"(^[ \t]*(?:#+[ \t]|[-*+][ \t]|\d+[.)][ \t]|>[ \t])?)?([ \t]{0,3})"
    rf"((?:(?:{EMOJI_OR_REMAINDER.pattern})[ \t]{{0,3}})+)",
    re.M,
)
THINKS = "think|thinking|thought|reasoning|scratchpad|reflection"
THOUGHTS = re.compile(rf"<({THINKS})>(?:(?!<(?:{THINKS})>).)*?</\1>\s*", re.S | re.I)
# UTF-8 that was read as Windows-1252: what its second and third bytes become.
BEHIND = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a\u201c-\u201e\u2020-\u2022"
    "\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
MISREAD = re.compile(f"[\u00c2-\u00c5]{BEHIND}|\u00e2{BEHIND}{{2}}|\u00f0\u0178{BEHIND}{{2}}")
# What no correct text contains, such as punctuation and currency signs (U+2000 to U+213F): once is enough.
SURE = re.compile(f"\u00c3[\u00a0-\u00bf]|\u00c2[\u00a0-\u00bf]|\u00e2\u20ac|\u00e2[\u0081\u201a\u0192\u201e]{BEHIND}")
LEAST_MISREAD = 2  # matches: a correct text in capitals, such as `CAFÉ…`, may contain one


def without_emoji(text: str, context: PostContext) -> str:
    """Remove emoji, and selectors and joiners without one. Emoji stay in a table, where one may be the whole content of
    a cell, and in names of the shop."""
    if not matches(EMOJI_OR_REMAINDER, text):
        return text

    def removed(found: re.Match[str]) -> str:
        if any(context.source_has(one[0].rstrip("\ufe0f")) for one in EMOJI.finditer(found[3])):
            return _without_remainders(found[0])
        if found[1] is not None:
            return found[1]
        return " " if found[3][-1] in " \t" else ""

    lines = text.split("\n")
    return "\n".join(
        _without_remainders(line) if line.lstrip().startswith("|") else RUN.sub(removed, line) for line in lines
    )


def _without_remainders(text: str) -> str:
    return EMOJI_OR_REMAINDER.sub(lambda one: one[0] if EMOJI.fullmatch(one[0]) else "", text)


def decoded_again(text: str, context: PostContext) -> str:
    """Restore a text whose bytes were decoded with the wrong encoding."""
    found = MISREAD.findall(text)
    if len(found) < LEAST_MISREAD and not SURE.search(text):
        return text
    return MISREAD.sub(lambda one: _decoded(one[0]), text)


def _decoded(characters: str) -> str:
    raw = b"".join(bytes([ord(one)]) if ord(one) < 256 else one.encode("cp1252") for one in characters)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return characters


def without_thoughts(text: str, context: PostContext) -> str:
    return THOUGHTS.sub("", text)
