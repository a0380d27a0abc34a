"""Files as editors and spreadsheets write them: whatever the encoding and the line ends are, the same rows come out."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, Row, read
from blogworker.intake.lines import LINE_MAX

Reads = Callable[..., list[Row]]

ENDS = st.sampled_from(["\n", "\r", "\r\n"])
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
WORD = st.text("abcdefghijk é", min_size=1).map(lambda text: f"rye{text}").map(str.strip)


def subjects(rows: list[Row]) -> list[tuple[int, object]]:
    assert all(isinstance(row, Accepted) for row in rows), rows
    return [
        (row.line, row.job.source_data.get("keyword") or row.job.source_id) for row in rows if isinstance(row, Accepted)
    ]


@given(words=st.lists(st.tuples(WORD, ENDS), min_size=1, max_size=8), encoding=st.sampled_from(ENCODINGS))
def test_a_keyword_list_is_the_same_with_any_line_ends_and_in_any_encoding(
    words: list[tuple[str, str]], encoding: str
) -> None:
    """A list with CR line ends became one blog about all of its keywords, paid for and published."""
    content = "".join(word + end for word, end in words).encode(encoding)

    rows = list(read(io.BytesIO(content), instance_id="shop", kind="keywords"))

    assert [row.line for row in rows] == list(range(1, len(words) + 1))
    kept = [row.job.source_data["keyword"] for row in rows if isinstance(row, Accepted)]
    assert kept == list({word: " ".join(word.split()) for word, _ in words}.values())


@given(ends=st.lists(ENDS, min_size=4, max_size=4), encoding=st.sampled_from(ENCODINGS))
def test_a_product_export_is_the_same_with_any_line_ends_and_in_any_encoding(ends: list[str], encoding: str) -> None:
    lines = ["Handle,Title", 'mug,"Two', 'lines"', "jug,Jug"]
    content = "".join(line + end for line, end in zip(lines, ends, strict=True)).encode(encoding)

    assert subjects(list(read(io.BytesIO(content), instance_id="shop"))) == [(2, "mug"), (4, "jug")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_json_lines_end_in_any_way(rows_of: Reads, end: str) -> None:
    line = '{"source_type": "keyword", "source_id": "rye"}'

    assert subjects(rows_of(f"\ufeff{line}{end}{end}\ufeff{line}{end}")) == [(1, "rye"), (3, "rye")]


def test_files_that_were_joined_have_marks_and_headers_within(rows_of: Reads) -> None:
    rows = rows_of("\ufeffHandle,Title\nmug,Mug\n\ufeffHandle,Title\n\ufeffjug,Jug\n")

    assert subjects(rows) == [(2, "mug"), (4, "jug")]


def test_excels_unicode_text_is_a_table_although_its_name_ends_in_txt() -> None:
    """Read as a list of keywords, each product would be a blog about `mug Mug 4`."""
    rows = list(read(io.BytesIO("Handle\tTitle\nmug\tMug\n".encode("utf-16")), name="a.txt", instance_id="shop"))
    unknown = list(read(io.BytesIO(b"Keyword\tVolume\nmug\t1000\n"), name="a.txt", instance_id="shop"))

    assert subjects(rows) == [(2, "mug")]
    assert isinstance(unknown[0], Fault)
    assert "unknown columns: found Keyword, Volume" in unknown[0].reason


@pytest.mark.parametrize("size", [131_073, 200_000, LINE_MAX, 3 * LINE_MAX])
@pytest.mark.parametrize("filler", ["A", "a line, with words\n", 'a""'])
def test_a_huge_cell_is_read_and_costs_no_neighbour(rows_of: Reads, size: int, filler: str) -> None:
    """A picture in a description, or a long cell of a column that nobody reads."""
    cell = filler * (size // len(filler))
    content = f'Handle,Title,Body (HTML),Spec\nmug,Mug,"<p>Good.</p><p>{cell}</p>","{cell}"\njug,Jug,x,\n'

    assert [subject for _, subject in subjects(rows_of(content, kind="csv"))] == ["mug", "jug"]


def test_a_picture_in_a_description_is_no_part_of_its_text(rows_of: Reads) -> None:
    picture = f'<img src=""data:image/png;base64,{"A" * 200_000}"" alt=""x""><p>and strong.</p>'

    (row,) = rows_of(f'Handle,Title,Body (HTML)\nmug,Mug,"<p>Good</p>{picture}"\n', kind="csv")

    assert isinstance(row, Accepted)
    assert row.job.source_data["description"] == "Good\nand strong."


def test_a_quote_that_is_never_closed_is_one_fault(rows_of: Reads) -> None:
    rows = rows_of('Handle,Title\nmug,Mug\njug,"Jug\n' + "pot,Pot\n" * 1_100_000, kind="csv")

    mug, fault = rows
    assert isinstance(fault, Fault)
    assert fault.line == 3
    assert "is a quote opened and never closed?" in fault.reason
    assert isinstance(mug, Accepted)


def test_a_row_that_does_not_end_within_a_megabyte_is_one_fault(rows_of: Reads) -> None:
    """Outside quotes, the rest of a line that is read in pieces would be read as separate rows."""
    rows = rows_of("Handle,Title\nmug," + "x," * LINE_MAX + "\njug,Jug\n", kind="csv")

    assert [(type(row), row.line) for row in rows] == [(Fault, 2), (Accepted, 3)]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"PK\x03\x04\x14", "a workbook or an archive: save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"%PDF-1.7", "a PDF"),
        (b"<!DOCTYPE html>", "a page"),
    ],
)
def test_a_file_that_holds_no_rows_is_one_line(head: bytes, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"^shop\.csv is {told}"):
        list(read(io.BytesIO(head + b"\nmugs\n"), name="shop.csv", instance_id="shop"))


@pytest.mark.parametrize(
    "content", ['[\n{"source_type": "keyword"}\n]', '[{\n"a": 1}]', '{\n  "source_type": "text"\n}\n']
)
def test_json_over_several_lines_is_one_fault(rows_of: Reads, content: str) -> None:
    (row,) = rows_of(content, kind="jsonl")

    assert isinstance(row, Fault)
    assert "write one object per line" in row.reason


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1e", "\x85", "\u2028"])
def test_a_file_whose_lines_end_in_another_way_is_not_all_header(end: str) -> None:
    """Nothing would be enqueued, and nothing be wrong."""
    table = f"Handle,Title,Price{end}mug,Mug,5{end}jug,Jug,6{end}"

    (row,) = read(io.BytesIO(table.encode()), kind="csv", instance_id="shop")

    assert isinstance(row, Fault)
    assert row.reason.startswith("unknown columns: found Handle, Title, Price?mug, Mug")
