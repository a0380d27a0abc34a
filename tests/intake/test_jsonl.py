"""Blogs as JSON lines: what is taken, and the line and reason of what is not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped, read

Reads = Callable[..., list[Row]]


def test_each_line_is_a_blog_in_either_spelling(data: Path) -> None:
    rows = list(read(data / "blogs.jsonl", instance_id="shop", priority=2))

    blogs = {row.line: row.job for row in rows if isinstance(row, Accepted)}
    assert list(blogs) == [1, 3, 4]
    assert (blogs[1].instance_id, blogs[1].source_id, blogs[1].priority) == ("shop", "how to darn a sock", 2)
    assert (blogs[3].instance_id, blogs[3].source_data, blogs[3].priority) == ("site-9", {"name": "Sock"}, 5)
    assert blogs[4].publish_at == datetime(2030, 5, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"source_type": "keyword"', "not JSON: Expecting ',' delimiter at column 26"),
        ("[1, 2]", "not an object"),
        ("[", "write one object per line, not a list"),
        ("[" * 100_000, "nested too deeply"),
        ('"text"', "not an object"),
        ('{"source_type": "keyword", "source_data": {"keyword": "a", "n": NaN}}', "NaN is not a JSON value"),
        ('{"source_type": "keyword", "source_data": {"keyword": "a", "n": 1e999}}', "source_data.n is inf"),
        ('{"source_type": "keyword", "source_data": {"keyword": "a", "n": ' + "9" * 5000 + "}}", "5,000 digits"),
        ('{"source_typ": "keyword"}', "unknown field 'source_typ': did you mean source_type?"),
        ('{"keyword": "a", "source_type": "keyword"}', "unknown field 'keyword': put it into source_data"),
        ('{"zzz": 1}', "unknown field 'zzz': known are instance_id"),
        ('{"source_type": "keyword", "sourceType": "text"}', "source_type is given twice"),
        ('{"source_id": "a"}', "source_type is missing"),
        ('{"source_type": "keyword", "source_id": "a", "run_at": "soon"}', "run_at is not a time"),
        ('{"source_type": "keyword", "source_id": "a", "run_at": "2030-01-01"}', "run_at has no time zone"),
        (
            '{"source_type": ["keyword"], "source_id": 5}',
            "source_id must be text, not a number; source_type ['keyword']",
        ),
        ('{"source_type": "text", "source_data": {"text": "\\u0000"}}', "source_data.text holds a NUL character"),
        ('{"source_type": "text", "source_data": {"text": "\\ud800"}}', "half of a surrogate pair"),
        (
            '{"source_type": "text", "source_data": {"text": "' + "x" * (1 << 20) + '"}}',
            "longer than 1,048,576 characters",
        ),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(rows_of: Reads, line: str, told: str) -> None:
    good = '{"source_type": "keyword", "source_id": "a"}'

    first, bad, last = rows_of(f"{good}\n{line}\r\n{good}", kind="jsonl")

    assert isinstance(bad, Fault)
    assert bad.line == 2
    assert told in bad.reason
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert last.line == 3


def test_a_byte_order_mark_is_no_part_of_the_first_line_and_bad_utf8_is_a_fault(rows_of: Reads) -> None:
    good = b'{"source_type": "keyword", "source_id": "a"}\n'

    rows = rows_of(b"\xef\xbb\xbf" + good + b'{"source_id": "\xff"}\n' + good)

    assert [type(row) for row in rows] == [Accepted, Fault, Accepted]
    assert rows[1] == Fault(2, "byte 16 is not UTF-8: save the file as UTF-8")


def test_a_line_without_a_site_needs_a_default_one(rows_of: Reads) -> None:
    (row,) = rows_of('{"source_type": "keyword", "source_id": "a"}', instance_id=None)

    assert row == Fault(1, "instance_id is missing: give the site's id as text")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ('"status": "draft"', "draft"),
        ('"status": "ARCHIVED"', "archived"),
        ('"visible": false', "hidden"),
        ('"isVisible": 0', "hidden"),
        ('"published": "FALSE"', "unpublished"),
        ('"hidden": true', "hidden"),
        ('"published_at": "2999-01-01T00:00:00Z"', "scheduled"),
        ('"note": "x", "status": "on the loom", "visible": false', "hidden"),
        ('"status": "active"', None),
        ('"status": "on the loom"', None),
        ('"visible": true', None),
        ('"status": null', None),
        ('"status": ["draft"]', None),
    ],
)
def test_a_product_that_is_stated_to_be_hidden_is_skipped_as_in_an_export(
    rows_of: Reads, state: str, kind: str | None
) -> None:
    line = f'{{"source_type": "product", "source_data": {{"name": "Mug", {state}}}}}\n'

    (row,) = rows_of(line)
    (taken,) = rows_of(line, include_hidden=True)

    assert (row.kind if isinstance(row, Skipped) else None) == kind
    assert isinstance(taken, Accepted)


def test_the_same_state_of_a_text_is_none(rows_of: Reads) -> None:
    (row,) = rows_of('{"source_type": "text", "source_data": {"text": "a", "status": "draft"}}')

    assert isinstance(row, Accepted)


@pytest.mark.parametrize("options", [{"name": "a.json"}, {}])
def test_a_list_on_one_line_is_one_fault_with_advice(rows_of: Reads, options: dict[str, str]) -> None:
    (row,) = rows_of('[{"source_type": "keyword", "source_id": "a"}, {"source_type": "text"}]\n', **options)

    assert isinstance(row, Fault)
    assert row.reason == "the file is a JSON list: write one object per line, as `jq -c .[]` does"
