"""Rows with one identifier that are about two products: a fault, never one blog."""

from collections.abc import Callable

import pytest

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped
from blogworker.intake.identifiers import rewritten

Reads = Callable[..., list[Row]]


@pytest.mark.parametrize(
    "identifier",
    ["1.23E+11", "1,23E+11", "1E+15", "1.23e+11", "1.23457E+17", "9.8E-05", "12345678.0", "3-May", "May-24", "03. Mrz",
     "1. Mai", "3/5/2024", "05.03.2024", "2024-03-05", "2024-03-05 00:00:00", "#NAME?", "#REF!",
     "#N/A", "#WERT!", "#####", "Dez 24"],
)  # fmt: skip
def test_what_a_spreadsheet_made_of_an_identifier_is_a_fault(rows_of: Reads, identifier: str) -> None:
    mug, jug = rows_of(f'Handle;Title\n"{identifier}";Mug\njug;Jug\n', kind="csv")
    (line,) = rows_of(f'{{"source_type": "product", "source_id": "{identifier}", "source_data": {{"name": "Mug"}}}}')

    for row in (mug, line):
        assert isinstance(row, Fault)
        assert "written by a spreadsheet: export the file again" in row.reason
    assert isinstance(jug, Accepted)


@pytest.mark.parametrize(
    "identifier",
    ["low-mug", "12-mar", "123", "00123", "1e5", "mug-2", "3-in-1", "may", "9f8e7d", "2024-calendar", "7.5", "A1.0",
     "de305d54-75b4-431b-adb2-eb6b9e546014", "product_1", "Mug-12", "Marble", "E12", "may-mug", "Mar-mug"],
)  # fmt: skip
def test_a_shops_own_identifier_is_none_of_them(identifier: str) -> None:
    assert rewritten(identifier) is None


def test_an_identifier_that_was_written_as_text_is_the_text(rows_of: Reads) -> None:
    (row,) = rows_of('Handle,Title\n"=""00123""",Mug\n', kind="csv")

    assert isinstance(row, Accepted)
    assert row.job.source_id == "00123"


@pytest.mark.parametrize("name", ["+Size Dress", "-10 Sleeping Bag", "@home Mug", "=1 Mug"])
def test_an_apostrophe_that_protects_a_cell_is_no_part_of_it(rows_of: Reads, name: str) -> None:
    (row, other) = rows_of(f"Handle,Title\nmug,'{name}\njug,'t Jug\n", kind="csv")

    assert isinstance(row, Accepted)
    assert isinstance(other, Accepted)
    assert (row.job.source_data["name"], other.job.source_data["name"]) == (name, "'t Jug")


@pytest.mark.parametrize(
    ("header", "first", "second", "told"),
    [
        ("Title", "Mug", "Jug", "Title 'Jug' contradicts 'Mug' on line 2"),
        ("Title,Vendor", "Mug,Oak", "Mug,Ash", "Vendor 'Ash' contradicts 'Oak' on line 2"),
        ("Title,Body (HTML)", "Mug,Blue.", ",Red.", "Body (HTML) 'Red.' contradicts 'Blue.' on line 2"),
        ("Title,Status", "Mug,active", "Mug,draft", "Status 'draft' contradicts 'active' on line 2"),
        ("Title,Published", "Mug,true", ",false", "Published 'false' contradicts 'true' on line 2"),
    ],
)
def test_rows_of_one_identifier_that_contradict_each_other_are_a_fault(
    rows_of: Reads, header: str, first: str, second: str, told: str
) -> None:
    """Lost leading zeros can make two identifiers equal."""
    rows = rows_of(f"Handle,{header}\n123,{first}\n123,{second}\n", kind="csv", idempotent=True)

    assert [type(row) for row in rows] == [Fault]
    assert isinstance(rows[0], Fault)
    assert rows[0].line == 3
    assert told in rows[0].reason


def test_lines_of_one_key_that_differ_are_a_fault_and_the_same_again_is_a_repeat(rows_of: Reads) -> None:
    """The queue takes the first blog of a key and ignores the others as known."""
    mug = '{"source_type": "product", "source_id": "123", "source_data": {"name": "Mug"}}\n'
    keyword = '{"source_type": "keyword", "source_data": {"keyword": "%s"}}\n'
    rows = rows_of(
        mug + mug.replace("Mug", "Jug") + mug + keyword % "Rye  bread" + keyword % "rye bread", idempotent=True
    )

    assert [type(row) for row in rows] == [Accepted, Fault, Skipped, Accepted, Skipped]
    assert rows[2] == Skipped(3, "it repeats line 1")
    assert isinstance(rows[1], Fault)
    assert "line 1 has the same key 'product:123'" in rows[1].reason


def test_the_same_line_for_two_sites_is_two_blogs(rows_of: Reads) -> None:
    line = '{"instance_id": "a", "source_type": "text", "source_data": {"text": "a"}, "idempotency_key": "k"}\n'

    assert [type(row) for row in rows_of(line + line.replace('"a"', '"b"'))] == [Accepted, Accepted]


@pytest.mark.parametrize(
    "line",
    [
        '{"source_type": "text", "source_data": {"text": "a", "text": "b"}}',
        '{"source_type": "text", "source_type": "text", "source_data": {"text": "a"}}',
        '{"source_type": "text", "source_data": {"text": "a", "x": [{"y": 1, "y": 1}]}}',
    ],
)
def test_a_key_that_is_given_twice_is_a_fault_at_any_depth(rows_of: Reads, line: str) -> None:
    (row,) = rows_of(line)

    assert isinstance(row, Fault)
    assert "is given twice" in row.reason


@pytest.mark.parametrize(("row", "length"), [("mug,Mug", 1), ("mug,Mug,4", 1), ("mug,Mug,4,,,", 1), ("mug", 0)])
def test_cells_that_are_missing_at_the_end_of_a_row_are_empty(rows_of: Reads, row: str, length: int) -> None:
    """Excel stops writing them after some row."""
    rows = rows_of(f"Handle,Title,Variant Price,Image Src,Status\n{row}\njug,Jug,,,active\n", kind="csv")

    assert len([row for row in rows if isinstance(row, Accepted)]) == length + 1
    assert not any(isinstance(row, Skipped) for row in rows)


def test_without_any_sku_the_name_is_the_identifier(rows_of: Reads) -> None:
    """Listings of Etsy need none."""
    header = "TITLE,DESCRIPTION,PRICE,SKU\n"

    rows = rows_of(f"{header}Mug,Of clay.,5,\nJug,Of glass.,6,\n", kind="csv", idempotent=True)
    mixed = rows_of(f"{header}Mug,Of clay.,5,\nJug,Of glass.,6,J\nPot,Of tin.,7,\n", kind="csv")

    assert [row.job.source_id for row in rows if isinstance(row, Accepted)] == ["Mug", "Jug"]
    faults = [row for row in mixed if isinstance(row, Fault)]
    assert [(fault.line, fault.earlier) for fault in faults] == [(2, 2), (4, None)]
    assert "the row of 'Mug' has no SKU" in faults[0].reason
