"""Shop exports: several rows become one product, and a wrong row is told with its line."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped, read
from blogworker.intake.products import COLUMNS
from blogworker.readable import readable

Reads = Callable[..., list[Row]]

HEADER = "Handle,Title,Variant Price,Image Src\n"


def products(rows: list[Row]) -> dict[str, dict[str, Any]]:
    assert all(isinstance(row, Accepted) for row in rows), rows
    return {str(row.job.source_id): row.job.source_data for row in rows if isinstance(row, Accepted)}


def test_a_shopify_product_is_joined_from_its_rows(data: Path) -> None:
    rows = list(read(data / "shopify.csv", instance_id="shop", include_hidden=True))

    found = products(rows)
    assert found["harbour-lamp"] == {
        "name": "Harbour Lamp",
        "description": "A brass lamp, cast in sand.\nGives a “warm” light & little heat.",
        "price": "120.00",
        "price_max": "180.50",
        "compare_at_price": "150.00",
        "options": [{"name": "Size", "values": ["Small", "Large"]}],
        "variants": [
            {"choices": ["Small"], "price": "120.00", "compare_at_price": "150.00", "sku": "HL-1"},
            {"choices": ["Large"], "price": "180.50", "compare_at_price": "210.00", "sku": "HL-2"},
        ],
        "vendor": "Quayside Metalworks",
        "categories": ["Lamps"],
        "tags": ["brass", "lamp"],
        "images": [f"https://shop.test/lamp-{name}.jpg" for name in ("front", "side", "small")],
        "image": "https://shop.test/lamp-front.jpg",
        "sku": "HL-1",
        "handle": "harbour-lamp",
    }
    assert found["tin-whistle"] == {
        "name": "Tin Whistle",
        "price": "9.50",
        "vendor": "Quayside Metalworks",
        "handle": "tin-whistle",
    }
    assert [row.line for row in rows] == [2, 6]


def test_a_classic_wix_product_has_surcharges_and_bare_file_names(data: Path) -> None:
    found = products(list(read(data / "wix_classic.csv", instance_id="shop", include_hidden=True)))

    assert found["p-01"] == {
        "name": "Oat Soap",
        "description": "Mild soap\noats\nolive oil",
        "price": "6.50",
        "price_max": "7.75",
        "vendor": "Barley Lane",
        "categories": ["Bath"],
        "details": [{"name": "ribbon", "value": "New"}],
        "images": ["https://static.wixstatic.com/media/a1b2c3_0f9e~mv2.jpg"],
        "image": "https://static.wixstatic.com/media/a1b2c3_0f9e~mv2.jpg",
        "sku": "OS-1",
        "handle": "p-01",
    }
    assert found["p-02"]["price"] == "1204.00"
    assert found["p-02"]["images"] == ["https://shop.test/salt-a.png", "https://shop.test/salt-b.png"]


def test_a_new_wix_product_has_media_rows(data: Path) -> None:
    found = products(list(read(data / "wix_new.tsv", instance_id="shop")))

    assert found == {
        "oak-stool": {
            "name": "Oak Stool",
            "description": "Three legs.",
            "price": "79.00",
            "price_max": "89.00",
            "currency": "EUR",
            "vendor": "North Bench",
            "images": ["https://shop.test/stool.jpg", "https://shop.test/stool-top.jpg"],
            "image": "https://shop.test/stool.jpg",
            "sku": "ST-1",
            "handle": "oak-stool",
        }
    }


@pytest.mark.parametrize(
    ("file", "hidden"),
    [
        ("shopify.csv", "'tin-whistle' is not visible in the shop: draft"),
        ("wix_classic.csv", "'p-02' is not visible in the shop: hidden"),
    ],
)
def test_products_that_cannot_be_seen_are_skipped_unless_they_are_asked_for(data: Path, file: str, hidden: str) -> None:
    everything = list(read(data / file, instance_id="shop", include_hidden=True))
    seen = list(read(data / file, instance_id="shop"))

    assert len(products(everything)) == 2
    assert isinstance(seen[1], Skipped)
    assert seen[1].reason == f"product {hidden}"


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("mug,,4,\nmug,,5,\n", 2, "product 'mug' has no Title in any of its rows"),
        ("jug,Jug,3,\n,Mug,4,\n", 3, "the row of 'Mug' has no Handle: every row names the product it belongs to"),
        ("jug,Jug,3,\nmug,Mug,4,,,extra\n", 3, "the row has 6 cells and the header 4"),
        ("mug,Mug,cheap,\n", 2, "product 'mug': Variant Price 'cheap' is not a price: write it as 1299.00"),
        ("mug,Mug,-4,\n", 2, "product 'mug': Variant Price '-4' is not a price"),
        ('mug,"Two\nlines",4,\nmug,,x,\n', 4, "product 'mug': Variant Price 'x' is not a price"),
        ("mug,Mug,4,\njug,Jug,3,\nmug,,5,\n", 4, "product 'mug' began on line 2: keep its rows together"),
        ('mug,"Mug,4,\n', 2, "not CSV: unexpected end of data"),
        ("mug,\udcffMug,4,\n", 2, "the row is not UTF-8"),
        ("mug,M\0g,4,\n", 2, "source_data.name holds a NUL character"),
    ],
)
def test_a_bad_row_is_named_with_its_line(rows_of: Reads, body: str, line: int, told: str) -> None:
    rows = rows_of((HEADER + body).encode(errors="surrogateescape"), kind="csv")

    faults = [row for row in rows if isinstance(row, Fault)]
    assert [fault.line for fault in faults] == [line]
    assert told in faults[0].reason
    assert all(row.job.source_id != "mug" or row.line < line for row in rows if isinstance(row, Accepted))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (";Eichenbank;5,00;ja;", "the row of 'Eichenbank' has no Artikelnummer: every row names the product"),
        (";;5,00;ja;", "the row has no Artikelnummer: every row names the product"),
        ("b-1;;5,00;ja;", "product 'b-1' has no Bezeichnung in any of its rows"),
        ("b-1;Bank;ab 399;ja;", "product 'b-1': Preis 'ab 399' is not an exact price: give the exact price"),
        ("b-1;Bank;5,00;ja;viel", "product 'b-1': Streich-Preis 'viel' is not a price: write it as 1299.00"),
        ("b-1;Bank;5,00;vielleicht;", "product 'b-1': Sicht?bar 'vielleicht' does not say whether the product is"),
    ],
)
def test_a_fault_names_the_column_by_the_header_of_the_file(rows_of: Reads, row: str, told: str) -> None:
    header = "Artikelnummer;Bezeichnung;Preis;Sicht\u200bbar;Streich-Preis"

    (fault,) = rows_of(f"{header}\n{row}\n", kind="csv")

    assert isinstance(fault, Fault)
    assert fault.reason.startswith(told)


@given(st.sampled_from(sorted({word for name in ("price", "sale_price") for word in COLUMNS[name]})))
def test_the_fault_of_a_price_names_its_header_and_product(header: str) -> None:
    content = f"Handle,Title,{header.title()}\nmug,Mug,cheap\n".encode()

    (fault,) = read(BytesIO(content), kind="csv", instance_id="shop")

    assert isinstance(fault, Fault)
    assert fault.reason.startswith(f"product 'mug': {header.title()} 'cheap' is not a price")


def test_an_unknown_header_tells_what_was_found_and_what_is_expected(rows_of: Reads) -> None:
    (row,) = rows_of("sku;cost\n1;2\n", kind="csv")

    assert isinstance(row, Fault)
    assert row.line == 1
    assert row.reason.startswith("unknown columns: found sku, cost; expected Handle, Title")


def test_the_header_may_come_late_in_any_case_and_with_any_delimiter(rows_of: Reads) -> None:
    (row,) = rows_of("sep=;\n\nHANDLE;title;PRICE\n;;\nmug;Mug;4\n", kind="csv")

    assert isinstance(row, Accepted)
    assert row.line == 5
    assert row.job.source_data == {"name": "Mug", "price": "4", "handle": "mug"}


def test_only_ten_images_are_kept(rows_of: Reads) -> None:
    rows = rows_of(HEADER + "".join(f"mug,Mug,4,https://shop.test/{n}.jpg\n" for n in range(12)), kind="csv")

    assert products(rows)["mug"]["images"] == [f"https://shop.test/{n}.jpg" for n in range(10)]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain\n\n text &amp; more", "plain\ntext & more"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("It&#x27;s &#X41; &#065; &#0041;", "It's A A )"),
        ("<h2>One</h2>two<br/>three<p>four\nfive</p>", "One\ntwo\nthree\nfour five"),
        ("a<script>alert('<p>')</script>b<!-- c -->", "ab"),
        ("<b>bold</b>ly", "boldly"),
        ("<p>open <![broken[ end", "open"),
    ],
)
def test_html_becomes_what_a_reader_sees(html: str, text: str) -> None:
    assert readable(html, longest=100).startswith(text)


def test_a_long_description_is_cut_between_words() -> None:
    assert readable("one two three four", longest=12) == "one two…"
