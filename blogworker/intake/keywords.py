"""Keyword lists: one keyword per line. Blank lines and remarks, which begin with # and a space, are skipped."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from blogworker.errors import Fault
from blogworker.intake.cells import ERROR
from blogworker.intake.identity import same_keyword
from blogworker.intake.lines import Lines, numbered
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.intake.table import SEPARATOR_LINE, spelled
from blogworker.queue.validation import KEYWORD_MAX

HEADERS = frozenset({  # of the first column in tables of keyword tools
    "keyword", "keywords", "query", "queries", "topqueries", "searchterm", "searchquery", "suchbegriff",
    "suchbegriffe", "suchanfrage", "motcle", "motscles", "requete", "palabraclave", "palabrasclave", "consulta",
    "parolachiave", "parolechiave", "palavrachave", "zoekwoord", "zoekterm",
})  # fmt: skip
DELIMITERS = {";": 2, "|": 2, ",": 3}  # with the lines that must have it equally often in a table; commas occur in text
REMARK = re.compile(r"#+(?:\s|$)")
MEANINGLESS = re.compile("[\xad\u200b\u2060\ufeff]")  # invisible in every language
ADVICE = "give one keyword per line, without a header and other columns, in a .txt file or with --kind keywords"


def is_header(cell: str) -> bool:
    """Return whether the cell is the header of a column of keywords."""
    return spelled(cell) in HEADERS


def why_no_list(lines: Sequence[str]) -> str | None:
    """Return what is wrong if these first lines are those of a table, of which each line would become a post."""
    if any(map(SEPARATOR_LINE.fullmatch, lines[:1])):
        return f"looks like a table: pass --kind csv for products; else {ADVICE}"
    cells = re.split("[;|,\t]", lines[0]) if lines else []
    if len(cells) > 1 and is_header(cells[0].strip('" ')):
        return f"looks like a table of keywords: {ADVICE}"
    for delimiter, least in DELIMITERS.items():
        counts = {line.count(delimiter) for line in lines}
        if len(lines) >= least and len(counts) == 1 and counts != {0}:
            return f"looks like a table: pass --kind csv for products; else {ADVICE}"
    return None


def drafts(lines: Lines) -> Iterator[Drafted]:
    """Yield a keyword job for each keyword. A keyword is skipped if it repeats another, by `same_keyword`."""
    first: dict[str, int] = {}
    for row in numbered(lines):
        if isinstance(row, Fault):
            yield row
            continue
        line, text = row
        for part in text.splitlines():  # also at U+2028, form feeds and the like
            keyword = " ".join(unicodedata.normalize("NFC", MEANINGLESS.sub("", part)).split())
            if keyword and not REMARK.match(keyword):
                yield _draft(line, keyword, first)


def _draft(line: int, keyword: str, first: dict[str, int]) -> Drafted:
    if ERROR.fullmatch(keyword):
        return Skipped(line, f"{keyword:.40} is an error of a spreadsheet", "error")
    if len(keyword) > KEYWORD_MAX:
        return Fault(
            line, f"a keyword of {len(keyword):,} characters: at most {KEYWORD_MAX} are allowed, one keyword per line"
        )
    key = same_keyword(keyword)
    if key in first:
        return Skipped(line, f"it repeats the keyword of line {first[key]}")
    first[key] = line
    return Draft(line, {"source_type": "keyword", "source_data": {"keyword": keyword}})
