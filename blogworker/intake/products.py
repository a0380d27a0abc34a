"""Product exports of Shopify, Wix Stores (classic and new catalog) and other shops: one blog per product.

A product is a run of consecutive rows with one identifier. One row carries the name and the description; the others add
variants with their prices, or images. So the reader holds one product at a time, and an identifier that appears again
later is a fault. A product with a bad row is skipped as a whole, since its prices would be incomplete. A product that
is not visible in its shop is skipped too, unless `include_hidden` is set.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from blogworker.errors import Fault
from blogworker.intake import identifiers, visibility
from blogworker.intake.lines import Lines
from blogworker.intake.product import Product
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.intake.table import HeaderError, TableRow, header_of, table

COLUMNS = {
    "handle": (
        "handle", "handleid", "urlhandle", "productid", "productidnoneditable", "id", "entityid", "sku",
        "productcodesku", "productcode", "artikelnummer", "reference", "referencia",
    ),
    "name": (
        "title", "name", "productname", "titel", "titre", "titulo", "nom", "nombre", "produktname", "artikelname",
        "bezeichnung", "nomduproduit", "nombredelproducto",
    ),
    "description": (
        "bodyhtml", "description", "plaindescription", "productdescription", "beschreibung", "descripcion",
        "shortdescription",
    ),
    "vendor": ("vendor", "brand", "brands", "manufacturer", "hersteller", "marke", "marque", "marca"),
    "product_type": ("categories", "category", "collections", "collection", "kategorien", "producttype", "type"),
    "kind": ("fieldtype", "itemtype", "type", "typ", "tipo"),
    "tags": ("tags", "schlagworter", "etiquettes", "etiquetas"),
    "price": ("variantprice", "price", "regularprice", "preis", "prix", "precio"),
    "surcharge": ("surcharge",),  # Wix classic: what a variant costs above its product
    "compare_at_price": ("variantcompareatprice", "compareatprice", "strikethroughprice"),
    "currency": ("currency", "currencycode"),
    "image": ("imagesrc", "productimageurl", "imageurl", "media", "mediaurl", "images", "hostedimageurls"),
    "variant_image": ("variantimage", "variantimageurl"),
    "variant_id": ("variantid", "variantidnoneditable"),
    "sku": ("variantsku", "sku"),
    "url": ("url", "producturl"),
    **visibility.COLUMNS,
}  # fmt: skip
REQUIRED = ("handle", "name")
EXPECTED = "Handle, Title, Body (HTML), Variant Price (Shopify) or handleId, fieldType, name, description, price (Wix)"
OF_ANOTHER = frozenset({"variation", "sku", "rule"})  # kinds of rows that have an identifier but are not products


def drafts(lines: Lines, *, include_hidden: bool, now: Callable[[], datetime]) -> Iterator[Drafted]:
    """A product blog for each product, with the line of the product's first row."""
    product: Product | None = None
    begun: dict[str, int] = {}
    for row in _table(lines):
        if isinstance(row, Fault):
            yield row
            return
        handle = row.cells.get("handle", "")
        if product is not None and row.cells.get("variant_id") and not (handle or row.cells.get("name")):
            handle = product.handle  # Squarespace names the product in its first row only
        if not handle:
            yield Fault(row.line, row.fault or "the row has no handle: every row names the product it belongs to")
            continue
        if row.cells.get("kind", "").casefold() in OF_ANOTHER:
            yield Fault(row.line, row.fault) if row.fault else Skipped(row.line, "a variant of a product", "variant")
            continue
        if product is not None and product.handle != handle:
            yield from _finished(product, include_hidden=include_hidden, now=now)
            product = None
        if product is None:
            product = Product(row.line, handle)
            if (first := begun.setdefault(handle, row.line)) != row.line:
                product.is_spoiled = True
                yield Fault(row.line, f"product {handle!r:.60} began on line {first}: keep its rows together")
            elif reason := identifiers.complaint(handle):
                product.is_spoiled = True
                yield Fault(row.line, reason)
        if reason := row.fault or product.add(row.line, row.cells):
            product.is_spoiled = True
            yield Fault(row.line, reason)
    if product is not None:
        yield from _finished(product, include_hidden=include_hidden, now=now)


def looks_like_products(first_line: str) -> bool:
    return all(name in header_of(first_line, COLUMNS)[1] for name in REQUIRED)


def _table(lines: Lines) -> Iterator[TableRow | Fault]:
    try:
        yield from table(lines, COLUMNS, REQUIRED, several=visibility.COLUMNS)
    except HeaderError as error:
        shown = ", ".join(cell.strip()[:40] for cell in error.found[:12])
        found = "".join(sign if sign.isprintable() else "?" for sign in shown)
        yield Fault(error.line, f"unknown columns: found {found or 'none'}; expected {EXPECTED}")


def _finished(product: Product, *, include_hidden: bool, now: Callable[[], datetime]) -> Iterator[Drafted]:
    if product.is_spoiled:
        return
    if not product.told.get("name"):
        yield Fault(product.line, f"product {product.handle!r:.60} has no title in any of its rows")
        return
    try:
        reason = None if include_hidden else visibility.left_out_for(product.told, now)
    except visibility.UnknownState as error:
        yield Fault(product.line, f"product {product.handle!r:.60}: {error}")
        return
    if reason is not None:
        yield Skipped(product.line, f"product {product.handle!r:.60} is not for sale: {reason}", reason)
    else:
        data = product.source_data()
        yield Draft(product.line, {"source_type": "product", "source_id": product.handle, "source_data": data})
