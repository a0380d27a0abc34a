"""Removes what is not text: emoji, characters of a broken encoding, and the reasoning of a model."""

import re

from blogworker.post.defects.kind import PostContext

# Characters that are pictures by default, and any character with an emoji selector. ✓, ★ and ° are text.
PICTURE = (
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[\U0001f300-\U0001faff\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653"
    "\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b"
    "\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55]\ufe0f?"
    "|[\u00a9\u00ae\u203c-\u3299]\ufe0f|[0-9#*]\ufe0f?\u20e3)[\U0001f3fb-\U0001f3ff]?"
)
EMOJI = re.compile(f"(?:{PICTURE})(?:\u200d(?:{PICTURE}|[\u2640\u2642\u2695]\ufe0f?))*")
RUN = re.compile(
    rf"(^[ \t]*(?:#+[ \t]|[-*+][ \t]|\d+[.)][ \t]|>[ \t])?)?([ \t]{{0,3}})((?:{EMOJI.pattern}[ \t]{{0,3}})+)", re.M
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
    """Remove emoji. They stay in a table, where one may be the whole content of a cell, and in names of the shop."""
    if not EMOJI.search(text):
        return text

    def removed(found: re.Match[str]) -> str:
        if any(context.source_has(one[0]) for one in EMOJI.finditer(found[3])):
            return found[0]
        if found[1] is not None:
            return found[1]
        return " " if found[3][-1] in " \t" else ""

    lines = text.split("\n")
    return "\n".join(line if line.lstrip().startswith("|") else RUN.sub(removed, line) for line in lines)


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
