"""Identifiers that a spreadsheet has rewritten as numbers or dates. Two products may then have the same identifier."""

import re

MONTH = (  # abbreviations of spreadsheets in English, German, French, Spanish, Italian, Portuguese and Dutch
    "(?:jan|ene|gen|feb|f[eé]v|m[aä]r|mrt|mrz|apr|avr|abr|ma[iy]|mei|mag|jui?n|giu|jui?l|lug|aug|ago|ao[uû]|se[pt]|"
    "oct|okt|ott|out|nov|de[czs]|d[eé]c|dic)"
)
SHAPES = (
    (re.compile(r"[+-]?\d(?:[.,]\d+)?E[+-]?\d{1,3}"), "a number in scientific notation"),
    (re.compile(r"[+-]?\d(?:[.,]\d+)?e\+\d{1,3}"), "a number in scientific notation"),
    (re.compile(r"\d{4,}[.,]0+"), "a number with decimals"),
    (re.compile(rf"\d{{1,2}}[-. ]{{1,2}}{MONTH}[a-zûé]*\.?(?:[- ]\d{{2,4}})?", re.IGNORECASE), "a date"),
    (re.compile(rf"{MONTH}[a-zûé]*\.?[- ]\d{{2,4}}", re.IGNORECASE), "a date"),
    (re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{4}(?: \d{1,2}:\d\d.*)?"), "a date"),
    (re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}:\d\d.*)?"), "a date"),
    (re.compile(r"#+|#[A-ZÀ-Ý/0]+[!?]?"), "a spreadsheet error"),
)
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def rewritten(identifier: str) -> str | None:
    """Return what a spreadsheet seems to have turned it into, or None. Handles of shops, such as `12-mar`, are lower
    case."""
    if SLUG.fullmatch(identifier) and not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", identifier):
        return None
    return next((what for shape, what in SHAPES if shape.fullmatch(identifier)), None)


def complaint(identifier: str) -> str | None:
    """Return the same as a message that says what to do."""
    if (what := rewritten(identifier)) is None:
        return None
    return (
        f"the identifier {identifier!r:.60} looks like {what} written by a spreadsheet: export the file again and "
        "enqueue it unchanged, or format the column as text"
    )
