"""Rows that are lost within a file: the product that they belong to is refused, and not told without them."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.cli import sources
from blogworker.cli.sources import Source
from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, read

Reads = Callable[..., list[Row]]

HEADER = "Handle,Title,Body (HTML),Variant Price\n"
CELLS = st.lists(st.text("ab,;\t '\n<p>", max_size=12), min_size=3, max_size=3)


def names(rows: list[Row]) -> list[str]:
    return [str(row.job.source_id) for row in rows if isinstance(row, Accepted)]


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_rows_within_a_cell_are_a_fault(rows_of: Reads, delimiter: str) -> None:
    """The price of another product would be that of the first."""
    rows = ['a|A|"Best ever|5', "b|B|x|6", 'c|C|they say nice"|7', "d|D|x|8"]
    content = HEADER.replace(",", delimiter) + "\n".join(rows).replace("|", delimiter) + "\n"

    fault, other = rows_of(content, kind="csv")

    assert isinstance(fault, Fault)
    assert (fault.line, "is a quote opened and never closed?" in fault.reason) == (2, True)
    assert names([other]) == ["d"]


@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_a_description_of_several_lines_is_no_fault(rows: list[list[str]], delimiter: str) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter)
    writer.writerow(["Handle", "Title", "Body (HTML)", "Vendor", "Tags", *(f"Spec {n}" for n in range(12))])
    writer.writerows([f"h{n}", f"N{n}", *row] for n, row in enumerate(rows))

    found = list(read(io.BytesIO(written.getvalue().encode()), kind="csv", instance_id="shop"))

    assert names(found) == [f"h{n}" for n in range(len(rows))]


@pytest.mark.parametrize("line", ["Of wool, cotton, silk, linen, and hemp.", "<p style='color: rgba(0,0,0,1)'>x</p>"])
def test_a_line_with_commas_is_no_row(rows_of: Reads, line: str) -> None:
    assert names(rows_of(f'{HEADER}a,A,"First\n{line}",5\n', kind="csv")) == ["a"]


@pytest.mark.parametrize(
    "bad",
    [
        ",,,4",  # no handle
        'a,,"x" y,4',  # broken quotes
        '"a",,"x" y,4',
        '"a" b,,x,4',
        ",,x,y,z,4",
        'a,,"x,4',
    ],
)
@pytest.mark.parametrize("place", [1, 2])
def test_a_product_with_a_bad_row_is_refused_as_a_whole(rows_of: Reads, bad: str, place: int) -> None:
    if bad.endswith('"x,4'):
        place = 2  # its quote is closed nowhere
    rows = ["a,A,x,5", "a,,,6"]
    rows.insert(place, bad)
    rows += [] if bad.endswith('"x,4') else ["b,B,x,6"]

    found = rows_of(HEADER + "\n".join(rows) + "\n", kind="csv")

    assert "a" not in names(found)
    assert names(found) == [row[0] for row in rows if row.startswith("b")]
    assert Fault in map(type, found)


@pytest.mark.parametrize("bad", [",B,x,4", 'b,"B" x,4', "b,B,x,4,5,6"])
def test_a_bad_row_of_another_product_costs_no_neighbour(rows_of: Reads, bad: str) -> None:
    assert names(rows_of(f"{HEADER}a,A,x,5\n{bad}\nc,C,x,6\n", kind="csv")) == ["a", "c"]


@given(st.integers(1, 33))
def test_a_download_that_ends_within_a_row_is_a_fault(cut: int) -> None:
    content = (HEADER + "a,A,x,5\na,,,6\nb,B,some text,12.50\n")[:-cut]
    whole = content.rpartition("\n")[2].count(",") == 3

    rows = list(read(io.BytesIO(content.encode()), kind="csv", instance_id="shop"))

    if content.endswith("\n") or whole:
        assert all(isinstance(row, Accepted) for row in rows)
    else:
        assert Fault in map(type, rows)
        assert names(rows) in ([], ["a"])
        assert names(rows) == [] or ",A,x,5\na,,,6\nb" in content


@pytest.mark.parametrize("row", ["b,B", "b,B,x", "b,B,,\n", "b,B\n", "b,B,x,4"])
def test_only_a_last_row_without_line_end_and_cells_is_a_fault(rows_of: Reads, row: str) -> None:
    """Spreadsheets leave out empty cells at the end of a row, and the line end of the last row."""
    found = rows_of(f"{HEADER}a,A,x,5\n{row}", kind="csv")

    assert names(found) == (["a", "b"] if row.endswith(("\n", "4")) else ["a"])


def test_a_product_that_goes_on_further_down_is_not_enqueued_in_part(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(f"{HEADER}a,A,x,5\nb,B,x,6\na,,,4\nc,C,x,7\n")
    given = Source(path, path.name, "auto", ("one",), 0, False, False, None, None, None)

    found = sources.check([given], skip_bad=True)

    assert [job.source_id for job in sources.jobs([given], found)] == ["b", "c"]
    assert (found.jobs, found.bad) == (2, 1)
