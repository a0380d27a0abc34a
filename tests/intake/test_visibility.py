"""A product that is not visible in its shop is skipped, whatever form the shop states that in."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped, products, read
from blogworker.intake.visibility import COLUMNS, column

Reads = Callable[..., list[Row]]

NOON = datetime(2027, 4, 3, 12, tzinfo=UTC)
HIDDEN = [  # header, cells, what it is called
    ("Status", "draft Draft DRAFT Entwurf Brouillon Borrador Bozza Concept Utkast", "draft"),
    ("Status", "archived Archiviert Archivé Archivado Archiviato", "archived"),
    ("Status", "unlisted Unlisted", "unlisted"),
    ("Status", "private pending", "unpublished"),
    ("Status", "inactive Disabled 0 2 trash discontinued Inaktiv Inactif Inactivo", "inactive"),
    ("status", "Scheduled future", "scheduled"),
    ("Published", "false FALSE No 0 FALSCH FAUX FALSO Nein", "unpublished"),
    ("Published", "-1 '-1 \u22121 (1) '\u22121", "draft"),
    ("Published on online store", "FALSE", "unpublished"),
    ("Veröffentlicht", "nein FALSCH", "unpublished"),
    ("Publié", "non FAUX", "unpublished"),
    ("Publicado", "no FALSO", "unpublished"),
    ("visible", "false No n", "hidden"),
    ("Visible", "No", "hidden"),
    ("Product Visible?", "N", "hidden"),
    ("Is Visible", "FALSE", "hidden"),
    ("Sichtbar", "Nein", "hidden"),
    ("Visibility in catalog", "hidden", "hidden"),
    ("Visibility in catalogue", "hidden", "hidden"),
    ("Sichtbarkeit im Katalog", "Versteckt", "hidden"),
    ("Visibilité dans le catalogue", "Caché", "hidden"),
    ("Visibilidad en el catálogo", "Oculto", "hidden"),
    ("visibility", "none", "hidden"),
    ("Active (0/1)", "0", "inactive"),
    ("active", "0 no", "inactive"),
    ("Aktiv (0/1)", "0", "inactive"),
    ("Actif (0/1)", "0", "inactive"),
    ("Enabled", "no", "inactive"),
    ("product_online", "2 0", "inactive"),
    ("Hidden", "TRUE yes 1 WAHR", "hidden"),
    ("Archived", "Y true", "archived"),
    ("Draft", "true", "draft"),
    ("Published At", "2027-04-03T12:00:01Z 2030-01-01", "scheduled"),
    ("Published", "2030-01-01T00:00:00", "scheduled"),
]
WORDED = [
    ("visibility", "Not Visible Individually", "hidden"),
    ("Status", "Nicht veröffentlicht", "unpublished"),
    ("Status", "Non publié", "unpublished"),
    ("Statut", "Hors ligne", "inactive"),
    ("Estado", "No disponible", "unpublished"),
    ("Status", "Not for sale", "unpublished"),
    ("Published At", "2030-01-01 08:00:00 -0500", "scheduled"),
    ("Published At", "01.05.2027", "scheduled"),
    ("Published At", "03/05/2027", "scheduled"),
]
SEEN = [
    ("Status", "active Active aktiv Actif activo 1 publish Enabled"),
    ("Published", "true TRUE 1 yes WAHR VRAI VERDADERO 2020-01-01"),
    ("Visibility in catalog", "visible catalog search"),
    ("visibility", "both 1 2 3 4"),
    ("Active (0/1)", "1"),
    ("Hidden", "FALSE 0 no"),
    ("Product Visible?", "Y"),
    ("product_online", "1"),
    ("Published At", "2027-04-03T12:00:00Z 0000-00-00 2020-02-29"),
]


def rows_of(header: str, cell: str, **options: object) -> list[Row]:
    content = f'Handle;Title;{header}\nmug;Mug;"{cell}"\njug;Jug;\n'.encode()
    return list(read(io.BytesIO(content), kind="csv", instance_id="shop", now=lambda: NOON, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "cell", "kind"),
    [(header, cell, kind) for header, cells, kind in HIDDEN for cell in cells.split()] + WORDED,
)
def test_a_product_that_cannot_be_seen_is_skipped_and_its_neighbour_is_not(header: str, cell: str, kind: str) -> None:
    hidden, other = rows_of(header, cell)
    taken = rows_of(header, cell, include_hidden=True)

    assert hidden == Skipped(2, f"product 'mug' is not visible in the shop: {kind}", kind)
    assert isinstance(other, Accepted)
    assert [type(row) for row in taken] == [Accepted, Accepted]


@pytest.mark.parametrize(
    ("header", "cell"),
    [(header, cell) for header, cells in SEEN for cell in cells.split()]
    + [("visibility", "Catalog, Search"), ("Published At", "2027-04-03 06:00:00 -0500"), ("Status", "Sold out")],
)
def test_a_product_that_can_be_seen_is_taken(header: str, cell: str) -> None:
    assert [type(row) for row in rows_of(header, cell)] == [Accepted, Accepted]


FOUND = (  # headers of shops in no list
    "Visibilidade no catálogo", "Visibilidade", "État", "Etat", "State", "Publish", "Publish status",
    "Published status", "Publication status", "Visibility status", "Produktstatus", "Statut du produit",
    "Estado del producto", "Live", "Available for sale", "Show in store", "Show on website", "Visible in shop",
    "Visible on website", "Online Store", "Online Store Published", "publishStatus", "is_visible_in_store",
    "Aktiv im Shop", "Product state", "État de l'article",
)  # fmt: skip
FOUND_INVERSE = ("Hide", "Discontinued", "Hide from shop", "hidden_in_catalog", "Product deleted", "Hide on website")
OF_SOMETHING_ELSE = (
    "Order status", "Stock status", "Inventory status", "Tax status", "Fulfillment status", "Payment status",
    "Published Scope", "Sync status", "Review status", "Import status", "Shipping state", "State of origin",
    "Status code", "Status label", "Status date", "Show price", "Hide price", "Show in menu", "Display order",
    "Online price", "Online store URL", "Available", "Available stock", "Available quantity", "Available in store",
    "Publisher", "Publication year", "Publication place", "Livestock", "Active ingredient", "Website", "Shop", "Store",
    "In store", "Featured", "Is featured", "Requires shipping", "Variant Taxable", "Gift Card", "Backorders allowed",
    "Allow customer reviews", "Sold individually", "Google Shopping / Condition", "Show quantity", "Hide options",
    "Visible weight", "United States", "Estate", "Product is new", "Visible in search", "Delivery status", "On sale",
    "Includes VAT", "Show add to cart", "Condition", "Item", "Product", "Shop status page", "Enable reviews",
    "Track inventory", "Hide compare at price", "Discontinued by", "Price status", "Estado de la tela", "Online since",
)  # fmt: skip


@pytest.mark.parametrize("header", FOUND + FOUND_INVERSE)
def test_a_header_in_no_list_is_found_by_its_words(header: str) -> None:
    """Else a post is written about a product that nobody can buy."""
    no, yes = ("no", "yes") if header in FOUND else ("yes", "no")

    assert [type(row) for row in rows_of(header, no)] == [Skipped, Accepted]
    assert [type(row) for row in rows_of(header, "archived")] == [Skipped, Accepted]
    for cell in (yes, "used", "California", "2030-01-01", "keskeneräinen", "17"):
        assert [type(row) for row in rows_of(header, cell)] == [Accepted, Accepted], cell


@pytest.mark.parametrize("header", OF_SOMETHING_ELSE)
@pytest.mark.parametrize("cell", ["no", "0", "false", "yes", "pending", "closed", "-1"])
def test_a_header_about_something_else_hides_no_product(header: str, cell: str) -> None:
    assert [type(row) for row in rows_of(header, cell)] == [Accepted, Accepted]


def test_rows_of_a_product_may_differ_in_a_column_that_only_the_rule_found() -> None:
    content = b"Handle,Title,Product state,Price\nmug,Mug,new,4\nmug,,used,3\n"

    assert [type(row) for row in read(io.BytesIO(content), kind="csv", instance_id="shop")] == [Accepted]


def test_no_listed_header_means_something_else_by_the_rule() -> None:
    others = {word for name, words in products.COLUMNS.items() if name not in COLUMNS for word in words}

    assert {word for word in others if column(word)} <= set()


def test_a_word_in_no_list_is_a_fault_for_it_might_mean_hidden() -> None:
    fault, other = rows_of("Status", "keskeneräinen")
    taken = rows_of("Status", "keskeneräinen", include_hidden=True)

    assert isinstance(fault, Fault)
    assert "Status 'keskeneräinen' does not say whether the product is visible" in fault.reason
    assert isinstance(other, Accepted)
    assert [type(row) for row in taken] == [Accepted, Accepted]


def test_the_parts_of_a_configurable_product_of_magento_are_hidden() -> None:
    content = b"sku,name,attribute_set_code,visibility,status\nM-1,Mug,Default,1,1\nM,Mug,Default,4,1\n"

    rows = list(read(io.BytesIO(content), kind="csv", instance_id="shop"))

    assert [type(row) for row in rows] == [Skipped, Accepted]


WOOCOMMERCE = b"""ID,Type,SKU,Name,Published,Regular price,Images
1,variable,M,Mug,1,,"https://a/1.jpg, https://a/2.jpg"
2,variation,M-B,Mug - blue,1,5,
"""


def test_variants_with_an_identifier_of_their_own_are_no_products() -> None:
    variant, product = list(read(io.BytesIO(WOOCOMMERCE), kind="csv", instance_id="shop"))

    assert isinstance(product, Accepted)
    assert product.job.source_data["images"] == ["https://a/1.jpg", "https://a/2.jpg"]
    assert isinstance(variant, Skipped)
    assert variant.kind == "variant"


SQUARESPACE = b"""Product ID [Non Editable],Variant ID [Non Editable],Title,SKU,Price,Visible
5a,1,Mug,S1,3,Yes
,2,,S2,4,
5b,3,Jug,S3,3,No
"""


def test_variants_without_an_identifier_belong_to_the_product_above() -> None:
    mug, jug = list(read(io.BytesIO(SQUARESPACE), kind="csv", instance_id="shop"))

    assert isinstance(mug, Accepted)
    assert (mug.job.source_data["price"], mug.job.source_data["price_max"]) == ("3", "4")
    assert isinstance(jug, Skipped)


def test_a_hidden_variant_hides_no_product() -> None:
    content = b"handleId,fieldType,name,visible\np,Product,Soap,true\np,Variant,,false\n"

    assert [type(row) for row in read(io.BytesIO(content), kind="csv", instance_id="shop")] == [Accepted]


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        ("Status,Status", "active,draft", "draft"),
        ("Published,Is Published", "true,false", "unpublished"),
        ("Is Published,Published", "false,true", "unpublished"),
        ("Status,Post Status", "active,in stock", None),
        ("Status,Status", "active,", None),
    ],
)
def test_each_of_several_columns_of_one_meaning_can_leave_a_product_out(
    header: str, cells: str, reason: str | None
) -> None:
    """A table that was put together from two exports: what one of them hides is not for sale."""
    (row,) = read(io.BytesIO(f"Handle,Title,{header}\nmug,Mug,{cells}\n".encode()), kind="csv", instance_id="shop")

    assert (row.kind if isinstance(row, Skipped) else None) == reason
