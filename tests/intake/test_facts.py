"""What an export states about a product is in its source_data: prices, variants, stock, measures."""

from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.intake import Accepted, Row, read
from blogworker.intake.money import Point, amount, point_of
from blogworker.intake.offers import Offers
from blogworker.intake.properties import LONGEST, OWN, properties
from blogworker.product import VARIANTS_MAX, number

Reads = Callable[..., list[Row]]

SHOPIFY = """\
Handle,Title,Body (HTML),Product Category,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,\
Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,\
Variant Compare At Price,Image Src,Image Alt Text,Variant Weight Unit,Status
pump,Track Pump,<ul><li>Steel barrel</li><li>160 psi</li></ul>,Sports > Cycling,Pumps,Valve,Presta,Colour,Red,TP-1,\
1500,shopify,4,deny,12.00,15.00,https://s.test/1.jpg,A red pump,kg,active
pump,,,,,,Schrader,,Black,TP-2,1800,shopify,0,deny,22.00,,https://s.test/2.jpg,,kg,
pump,,,,,,,,,,,,,,,,https://s.test/3.jpg,Its gauge,,
soap,Soap,,,,Title,Default Title,,,,0,,0,deny,4.00,0.00,,,kg,active
"""
WIX = """\
handleId;fieldType;name;description;collection;price;surcharge;discountMode;discountValue;inventory;weight;\
productOptionName1;productOptionType1;productOptionDescription1;additionalInfoTitle1;additionalInfoDescription1
cup;Product;Cup;<p>Thrown.</p>;Cups;Table;20,00;;PERCENT;25;InStock;0.3;Glaze;COLOR;#000000:Black;Care;<p>By hand.</p>
"""


def one(rows: list[Row]) -> dict[str, Any]:
    assert isinstance(rows[0], Accepted), rows
    return rows[0].job.source_data


def test_a_shopify_export_tells_variants_stock_weight_and_pictures(rows_of: Reads) -> None:
    rows = rows_of(SHOPIFY, kind="csv")

    found = one(rows)
    assert found["description"] == "Steel barrel\n160 psi"
    assert (found["price"], found["price_max"], found["compare_at_price"]) == ("12.00", "22.00", "15.00")
    assert found["options"] == [
        {"name": "Valve", "values": ["Presta", "Schrader"]},
        {"name": "Colour", "values": ["Red", "Black"]},
    ]
    red = {"price": "12.00", "compare_at_price": "15.00", "availability": "in stock", "sku": "TP-1", "weight": "1.5 kg"}
    black = {"price": "22.00", "availability": "out of stock", "sku": "TP-2", "weight": "1.8 kg"}
    assert found["variants"] == [{"choices": ["Presta", "Red"], **red}, {"choices": ["Schrader", "Black"], **black}]
    assert found["availability"] == "in stock"
    assert found["images"] == [
        {"url": "https://s.test/1.jpg", "alt": "A red pump"},
        "https://s.test/2.jpg",
        {"url": "https://s.test/3.jpg", "alt": "Its gauge"},
    ]
    assert one(rows[1:]) == {"name": "Soap", "price": "4.00", "handle": "soap"}, "stock is not counted, nothing weighed"


def test_a_classic_wix_export_tells_its_discount_options_and_sections(rows_of: Reads) -> None:
    header, row = WIX.splitlines()
    variant = 'cup;Variant;;;;;5,00;;;OutOfStock;;;;"#FFFFFF:White";;'
    row = row.replace("Cups;Table", '"Cups;Table"').replace("#000000:Black", '"#000000:Black;#FFFFFF:White"')

    found = one(rows_of("\n".join([header, row, variant]), kind="csv"))

    assert (found["price"], found["price_max"], found["compare_at_price"]) == ("15.00", "18.75", "20.00")
    assert found["categories"] == ["Cups", "Table"]
    assert found["options"] == [{"name": "Glaze", "values": ["Black", "White"]}]
    assert found["description"] == "Thrown.\nCare: By hand."
    assert "details" not in found, "a weight without a unit"


def test_a_new_wix_export_tells_choices_without_their_colours(rows_of: Reads) -> None:
    header = "handle,fieldType,name,media,mediaAltText,price,strikethroughPrice,inventory,sku,"
    header += "productOptionName1,productOptionType1,productOptionChoices1"
    rows = [
        "cap,PRODUCT,Cap,https://s.test/a.jpg;https://s.test/b.jpg,A cap,,,,,Colour,SWATCH,Red:#ff0000;Blue:#00f",
        "cap,VARIANT,,,,20,25,3,S1,Colour,SWATCH_CHOICES,Red:#ff0000",
        "cap,VARIANT,,,,22,,OUT_OF_STOCK,S2,Colour,SWATCH_CHOICES,Blue:#00f",
    ]

    found = one(rows_of("\n".join([header, *rows]), kind="csv"))

    assert found["options"] == [{"name": "Colour", "values": ["Red", "Blue"]}]
    red = {"choices": ["Red"], "price": "20", "compare_at_price": "25", "availability": "in stock", "sku": "S1"}
    assert found["variants"] == [
        red,
        {"choices": ["Blue"], "price": "22", "availability": "out of stock", "sku": "S2"},
    ]
    assert found["images"] == [{"url": "https://s.test/a.jpg", "alt": "A cap"}, "https://s.test/b.jpg"]


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("Preis;UVP", "2.450,-;2.999,00 €", {"price": "2450", "compare_at_price": "2999.00"}),
        ("Preis;Währung;Lagerbestand", "12,\u2013;CHF;0", {
            "price": "12", "currency": "CHF", "availability": "out of stock"}),
        ("Preis;Gewicht (kg)", "12,50;1,2", {"price": "12.50", "details": [{"name": "weight", "value": "1.2 kg"}]}),
        ("Preis;Gewicht (kg)", "12,50;1,250", {"price": "12.50", "details": [{"name": "weight", "value": "1.25 kg"}]}),
        ("Preis;Gewicht (kg)", "12;1,250", {"price": "12"}),
        ("Preis;Verfügbarkeit", "5,00;auf Lager", {"price": "5.00", "availability": "in stock"}),
        ("Prix;Poids;Hauteur (cm)", "5,00;250 g;8", {
            "price": "5.00", "details": [{"name": "weight", "value": "250 g"}, {"name": "height", "value": "8 cm"}]}),
        ("Regular price;Sale price;In stock?;Attribute 1 name;Attribute 1 value(s)", "20.00;16.00;1;Wood;Oak", {
            "price": "16.00", "compare_at_price": "20.00", "availability": "in stock",
            "details": [{"name": "Wood", "value": "Oak"}]}),
        ("Price;Sale Price;On Sale;Stock", "20.00;16.00;No;Unlimited", {"price": "20.00", "availability": "in stock"}),
        ("Price;Weight;Weight unit", "Fr. 20.50;2;lb", {
            "price": "20.50", "details": [{"name": "weight", "value": "2 lb"}]}),
        ("Price;Description", r"1.00;Steel\n160 psi", {"price": "1.00", "description": "Steel\n160 psi"}),
    ],
)  # fmt: skip
def test_other_exports_tell_theirs(rows_of: Reads, header: str, row: str, told: dict[str, Any]) -> None:
    found = one(rows_of(f"Handle;Name;{header}\nh;N;{row}\n", kind="csv"))

    assert found == {"name": "N", "handle": "h", **told}


@pytest.mark.parametrize(
    ("prices", "read"),
    [
        (["12,50", "1.299"], ["12.50", "1299"]),
        (["1.299", "12,50"], ["1299", "12.50"]),
        (["1,299", "12.50"], ["1299", "12.50"]),
        (["1,299", "12,50"], ["1.299", "12.50"]),
        (["1.299", "1.299.000"], ["1299", "1299000"]),
        (["1.299", "12,-"], ["1299", "12"]),
        (["1.299", "60"], ["1.299", "60"]),
        (["1,299", "60"], ["1299", "60"]),
        (["1.299", *["12,50"] * 9, "9.99"], ["1299", *["12.50"] * 9, "9.99"]),
        (["12,50", "9.99", "1.299", "1,299"], ["12.50", "9.99", "1.299", "1299"]),
    ],
)
def test_the_decimal_sign_is_that_of_the_file(rows_of: Reads, prices: list[str], read: list[str]) -> None:
    rows = rows_of("Handle;Name;Price\n" + "".join(f"h{n};N;{price}\n" for n, price in enumerate(prices)), kind="csv")

    assert [one([row])["price"] for row in rows] == read
    assert [row.line for row in rows] == list(range(2, len(prices) + 2))


@given(st.decimals(0, 10**7, places=2), st.sampled_from(".,"), st.booleans())
def test_a_price_is_read_with_the_sign_it_was_written_with(value: Decimal, point: Point, grouped: bool) -> None:
    written = f"{value:,.2f}" if grouped else f"{value:.2f}"
    if point == ",":
        written = written.translate(str.maketrans(",.", ".,"))
    whole = written[:-3]

    assert amount(written) == value
    assert point_of(written) == point
    assert amount(f"{whole}{point}-") == int(value)
    assert amount(whole, point) == int(value)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.decimals(1, 500, places=2), st.booleans()), min_size=2, max_size=200))
def test_the_variants_kept_hold_the_lowest_and_the_highest_price(rows: list[tuple[Decimal, bool]]) -> None:
    offers = Offers()
    for n, (price, is_left) in enumerate(rows):
        offers.add({"option_value_1": f"v{n}", "price": str(price), "stock": str(int(is_left))}, None, of_product=False)

    kept = [number(variant.price) for variant in offers.variants]
    assert len(kept) <= VARIANTS_MAX
    assert not kept or {min(offers.prices), max(offers.prices)} <= set(kept)
    assert kept or len(set(rows)) == 1


def test_what_a_shopify_shop_states_in_fields_of_its_own_is_told(rows_of: Reads) -> None:
    header = (
        "Handle,Title,Care instructions (product.metafields.custom.care),Rating (product.metafields.reviews.rating),"
        "Years (product.metafields.custom.years),Suits (product.metafields.custom.suits),"
        "Guide (product.metafields.custom.guide),Color (product.metafields.shopify.color-pattern)"
    )
    row = """hat,Hat,<p>Hand wash<br>only</p>,"{""value"":""4.5""}",2,"[""walking"",""rain""]",gid://shopify/Page/1,sage"""

    found = one(rows_of(f"{header}\n{row}\n", kind="csv"))

    assert found["details"] == [
        {"name": "colour", "value": "sage"},
        {"name": "Care instructions", "value": "Hand wash only"},
        {"name": "Suits", "value": "walking, rain"},
    ]


@given(st.text(max_size=60))
def test_any_field_of_a_shop_is_read(cell: str) -> None:
    told = properties({f"{OWN}Care": cell}, None).get("Care", "")

    assert len(told) <= LONGEST
    assert not told.isdigit()


SPOKEN = {
    "de": ("Artikelnummer", "Bezeichnung", "Beschreibung", "Marke", "Kategorie", "Preis", "Währung", "Material"),
    "fr": ("Référence", "Désignation", "Description", "Marque", "Catégorie", "Prix TTC", "Devise", "Matière"),
    "es": ("Referencia", "Nombre", "Descripción", "Marca", "Categoría", "Precio", "Moneda", "Material"),
    "it": ("Codice", "Nome", "Descrizione", "Marca", "Categoria", "Prezzo", "Valuta", "Materiale"),
    "nl": ("Artikelcode", "Naam", "Omschrijving", "Merk", "Categorie", "Prijs", "Valuta", "Materiaal"),
    "pt": ("Referência", "Título", "Descrição", "Marca", "Categoria", "Preço", "Moeda", "Material"),
}


@given(st.sampled_from(sorted(SPOKEN)), st.permutations(range(8)), st.sampled_from(["{}", " {} ", '"{}"']))
def test_the_header_of_an_export_may_be_in_any_of_six_languages(language: str, order: list[int], form: str) -> None:
    values = ("a-1", "Tazza", "Di gres.", "Sole", "Cucina", "12,50", "EUR", "gres")
    header = ";".join(form.format(SPOKEN[language][place]) for place in order)

    content = f"{header}\n{';'.join(values[place] for place in order)}\n".encode()

    assert one(list(read(BytesIO(content), kind="csv", instance_id="shop"))) == {
        "name": "Tazza",
        "description": "Di gres.",
        "price": "12.50",
        "currency": "EUR",
        "vendor": "Sole",
        "categories": ["Cucina"],
        "details": [{"name": "material", "value": "gres"}],
        "handle": "a-1",
    }


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["Grün", "Schwarz", "Natur"]), st.sampled_from(["S", "M", ""]), st.integers(1, 99)),
        min_size=2,
        max_size=6,
        unique_by=lambda row: row[:2],
    )
)
def test_rows_that_differ_in_colour_or_size_are_variants(rows: list[tuple[str, str, int]]) -> None:
    """Shop systems of Europe write a row for each, with no column that says so."""
    lines = [f"d-1;Decke;{price},50;{colour};{size};{price} kg" for colour, size, price in rows]
    content = "\n".join(["Artikelnummer;Bezeichnung;Preis;Farbe;Größe;Gewicht", *lines]).encode()

    found = one(list(read(BytesIO(content), kind="csv", instance_id="shop")))

    told = {option["name"]: option["values"] for option in found.get("options", [])}
    several = [name for name, place in (("colour", 0), ("size", 1)) if len({row[place] for row in rows} - {""}) > 1]
    assert list(told) == several
    if len({row[2] for row in rows}) > 1 and "colour" in several:
        assert [(one["price"], one["weight"]) for one in found["variants"]] == [
            (f"{price}.50", f"{price} kg") for *_, price in rows
        ]


def test_a_ribbon_and_what_a_buyer_may_have_written_are_told(rows_of: Reads) -> None:
    header = "handleId,fieldType,name,price,ribbon,customTextField1\n"

    found = one(rows_of(f"{header}cup,Product,Cup,4,New,Your name\ncup,Variant,,,,\n", kind="csv"))

    assert found["details"] == [{"name": "ribbon", "value": "New"}, {"name": "customization", "value": "Your name"}]
