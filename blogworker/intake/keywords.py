"""Keyword lists: one keyword per line. Blank lines and lines that begin with # are skipped."""

from collections.abc import Iterator

from blogworker.errors import Fault
from blogworker.intake.lines import Lines, numbered
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.queue.validation import KEYWORD_MAX


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
