"""Keyword lists: one keyword per line. Blank lines and lines that begin with # are skipped."""

import re
from collections.abc import Iterator, Sequence

from blogworker.errors import Fault
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
    """Yield a keyword job for each keyword. A repeated keyword is skipped; letter case does not count."""
    first: dict[str, int] = {}
    for row in numbered(lines):
        if isinstance(row, Fault):
            yield row
            continue
        line, text = row
        keyword = " ".join(text.split())
        if not keyword or keyword.startswith("#"):
            continue
        if len(keyword) > KEYWORD_MAX:
            yield Fault(
                line,
                f"a keyword of {len(keyword):,} characters: at most {KEYWORD_MAX} are allowed, one keyword per line",
            )
        elif (before := first.setdefault(keyword.casefold(), line)) != line:
            yield Skipped(line, f"it repeats the keyword of line {before}")
        else:
            yield Draft(line, {"source_type": "keyword", "source_data": {"keyword": keyword}})
