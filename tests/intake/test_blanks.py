"""Words and errors that a program writes into an empty cell are not read as facts."""

from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, read
from blogworker.intake.cells import ERROR, WORDS

Reads = Callable[..., list[Row]]

ERRORS = (
    "#NAME?", "#N/A", "#NV", "#REF!", "#VALUE!", "#WERT!", "#BEZUG!", "#DIV/0!", "#¿NOMBRE?", "#N/D", "#####",
    "#VALEUR!", "#SPILL!", "#GETTING_DATA!",
)  # fmt: skip
BLANKS = st.sampled_from(sorted({*WORDS, *ERRORS}))
HEADER = "Handle,Title,Body (HTML),Vendor,Type,Tags,Variant SKU,Material,Image Src,Option1 Name,Option1 Value"


@pytest.mark.parametrize("name", sorted({*WORDS, *ERRORS}))
def test_a_product_without_a_name_of_its_own_is_a_fault(rows_of: Reads, name: str) -> None:
    """Else a post would be published about `#NAME?`."""
    fault, other = rows_of(f"Handle,Title,Variant Price\nmug,{name},26\njug,Jug,4\n", kind="csv")

    assert isinstance(fault, Fault)
    assert "product 'mug'" in fault.reason
    assert "Title" in fault.reason
    assert isinstance(other, Accepted)


@given(st.lists(BLANKS, min_size=7, max_size=7))
def test_a_cell_for_nothing_is_empty(cells: list[str]) -> None:
    content = "\n".join([HEADER, f"mug,Mug,{','.join(cells)},Title,Default Title", "mug,nan,,,,,,,,,"])

    (row,) = read(BytesIO(content.encode()), kind="csv", instance_id="shop")

    assert isinstance(row, Accepted)
    assert row.job.source_data == {"name": "Mug", "handle": "mug"}


@pytest.mark.parametrize("header", ["Variant Price", "Status"])
@pytest.mark.parametrize("cell", ["nan", "#N/A"])
def test_a_price_and_a_state_must_not_be_for_nothing(rows_of: Reads, header: str, cell: str) -> None:
    (row,) = rows_of(f"Handle,Title,{header}\nmug,Mug,{cell}\n", kind="csv")

    assert isinstance(row, Fault)


def test_a_row_without_an_identifier_of_its_own_is_a_fault(rows_of: Reads) -> None:
    rows = rows_of("Handle,Title\nnan,Mug\nnan,Jug\n", kind="csv")

    assert [type(row) for row in rows] == [Fault, Fault]


def test_no_value_may_be_an_option(rows_of: Reads) -> None:
    (row,) = rows_of("Handle,Title,Option1 Name,Option1 Value\nmug,Mug,Print,None\nmug,,,Name\n", kind="csv")

    assert isinstance(row, Accepted)
    assert row.job.source_data["options"] == [{"name": "Print", "values": ["None", "Name"]}]


@pytest.mark.parametrize("name", ["#1 Mug", "#GIRLBOSS", "Nan", "#BOSS Mug!", "NONE", "Nullarbor"])
def test_a_name_that_resembles_an_error_is_a_name(name: str) -> None:
    assert not ERROR.fullmatch(name)
    assert name not in WORDS
