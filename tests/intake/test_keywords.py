from collections.abc import Callable

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped

Reads = Callable[..., list[Row]]


def test_each_line_is_a_keyword_blog(rows_of: Reads) -> None:
    rows = rows_of("# ideas for May\n\nrye bread\n  how to   fold a map \n", kind="keywords")

    assert [(row.line, row.job.source_data) for row in rows if isinstance(row, Accepted)] == [
        (3, {"keyword": "rye bread"}),
        (4, {"keyword": "how to fold a map"}),
    ]
    assert len(rows) == 2


def test_a_repeated_keyword_is_skipped_in_whatever_case(rows_of: Reads) -> None:
    rows = rows_of("Straße\nrye\nSTRASSE\n", kind="keywords")

    assert rows[2] == Skipped(3, "it repeats the keyword of line 1")


def test_what_is_no_list_of_keywords_is_a_fault(rows_of: Reads) -> None:
    (row,) = rows_of("word " * 60, kind="keywords")

    assert isinstance(row, Fault)
    assert "at most 200" in row.reason
