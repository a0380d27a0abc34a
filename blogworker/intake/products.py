"""Product exports of Shopify, Wix Stores (classic and new catalog) and other shops: one job per product.

A product is a sequence of rows with one identifier. One row has the name and the description; the others add variants
with their prices, or pictures. So the reader keeps one product at a time, and an identifier that appears again later
is a fault. A product with a bad row is refused as a whole, because its prices would be incomplete. A product that is
not visible in its shop is skipped, unless `include_hidden` is set.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from blogworker.errors import Fault
from blogworker.intake import (
    identifiers,
    keywords,
    kinds,
    offers,
    prices,
    product,
    properties,
    sales,
    stock,
    visibility,
)
from blogworker.intake.cells import cleaned
from blogworker.intake.decimals import DecimalSeparator
from blogworker.intake.lines import Lines
from blogworker.intake.product import ProductRows
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.intake.table import HeaderError, TableRow, header_of, shown, spelled, table

COLUMNS = {
    "handle": (
        "handle", "handleid", "urlhandle", "productid", "productidnoneditable", "id", "entityid", "sku",
        "productcodesku", "productcode", "artikelnummer", "artikelnr", "artnr", "produktnummer", "reference",
        "referencia", "riferimento", "codice", "codiceprodotto", "codicearticolo", "codigo", "codigoproducto",
        "artikelcode",
    ),
    "name": (
        "title", "name", "productname", "titel", "titre", "titulo", "titolo", "nom", "nombre", "nome", "naam",
        "produktname", "artikelname", "bezeichnung", "artikelbezeichnung", "produktbezeichnung", "nomduproduit",
        "designation", "libelle", "nombredelproducto", "nomeprodotto", "nomedelprodotto", "nomedoproduto",
        "denominazione", "productnaam",
    ),
    "description": (
        "bodyhtml", "description", "plaindescription", "productdescription", "beschreibung", "produktbeschreibung",
        "artikelbeschreibung", "langbeschreibung", "descriptif", "descriptionlongue", "descripcion", "descripcionlarga",
        "descrizione", "descrizioneprodotto", "descricao", "omschrijving", "shortdescription", "kurzbeschreibung",
    ),
    "vendor": (
        "vendor", "brand", "brands", "manufacturer", "hersteller", "marke", "marque", "fabricant", "marca", "merk",
        "produttore", "fabricante", "fabrikant",
    ),
    "product_type": (
        "categories", "category", "collections", "collection", "kategorien", "kategorie", "warengruppe",
        "produktkategorie", "categorie", "rubrique", "categoria", "categorias", "collezione", "coleccion",
        "producttype", "type", "productcategory",
    ),
    "tags": (
        "tags", "schlagworter", "stichworter", "etiquettes", "motscles", "etiquetas", "palabrasclave", "etichette",
        "parolechiave", "trefwoorden",
    ),
    "currency": ("currency", "currencycode", "wahrung", "devise", "moneda", "valuta", "moeda"),
    "image": (
        "imagesrc", "productimageurl", "imageurl", "imagelink", "image", "media", "mediaurl", "images",
        "hostedimageurls", "bild", "bilder", "bildurl", "urlimage", "imagen", "imagenes", "immagine", "immagini",
        "urlimmagine", "afbeelding", "afbeeldingen", "imagem",
    ),
    "variant_image": ("variantimage", "variantimageurl"),
    "variant_id": ("variantid", "variantidnoneditable"),
    "sku": ("variantsku", "sku"),
    "url": ("url", "producturl", "produkturl", "productlink", "produktlink", "urlproduit", "urlprodotto", "link"),
    **kinds.COLUMNS,
    **prices.COLUMNS,
    **offers.COLUMNS,
    **product.COLUMNS,
    **properties.COLUMNS,
    **stock.COLUMNS,
    **visibility.COLUMNS,
}  # fmt: skip
REQUIRED = ("handle", "name")
SEVERAL = (*visibility.COLUMNS, *sales.COLUMNS)  # all columns of one of these names are read
EXPECTED = "Handle, Title, Body (HTML), Variant Price (Shopify) or handleId, fieldType, name, description, price (Wix)"


def drafts(lines: Lines, *, include_hidden: bool, now: Callable[[], datetime]) -> Iterator[Drafted]:
    """Yield a product job for each product, with the line of its first row."""
    try:
        yield from _drafts(
            DecimalSeparator(table(lines, COLUMNS, REQUIRED, several=SEVERAL, own=_own)),
            include_hidden,
            now,
        )
    except HeaderError as error:
        found = ", ".join(map(shown, error.found[:12]))
        advice = (
            f"for keywords, {keywords.ADVICE}"
            if keywords.is_header("".join(error.found[:1]))
            else f"expected {EXPECTED}"
        )
        yield Fault(error.line, f"unknown columns: found {found or 'none'}; {advice}")


def _drafts(rows: DecimalSeparator, include_hidden: bool, now: Callable[[], datetime]) -> Iterator[Drafted]:  # noqa: FBT001
    def why_hidden(cells: Mapping[str, str]) -> str | None:
        return None if include_hidden else visibility.why_hidden(cells, now)

    found: ProductRows | None = None
    begun: dict[str, int] = {}
    for row in _identified(map(cleaned, rows)):
        if isinstance(row, Fault):
            yield row
            continue
        handle = kinds.identifier(row)
        if found is not None and row.cells.get("variant_id") and not (handle or row.cells.get("name")):
            handle = found.handle  # Squarespace names the product in its first row only
        if not handle:
            yield Fault(row.line, row.fault or _without_handle(row))
            if found is not None and not found.has_fault and _may_be_variant(row):
                found.has_fault = True
                yield Fault(
                    found.line,
                    f"product {found.handle!r:.60} may be incomplete: the bad row on line {row.line} may belong to it",
                )
            continue
        if part := kinds.part(row, found.handle if found is not None else None):
            yield Fault(row.line, row.fault) if row.fault else part
            continue
        if found is not None and found.handle != handle:
            yield from _finished(found)
            found = None
        if found is None:
            found = ProductRows(row.line, handle, row.headers, why_hidden)
            if (first := begun.setdefault(handle, row.line)) != row.line:
                found.has_fault = True
                apart = f"product {handle!r:.60} began on line {first}: keep its rows together"
                yield Fault(row.line, apart, earlier=first)
            elif reason := identifiers.complaint(handle):
                found.has_fault = True
                yield Fault(row.line, reason)
        cells = sales.current(kinds.without_type(row), now)
        if reason := row.fault or found.add(row.line, cells, rows.point):
            found.has_fault = True
            yield Fault(row.line, reason)
    if found is not None:
        yield from _finished(found)


def _may_be_variant(row: TableRow) -> bool:
    return not row.cells.get("name") and row.cells.get("kind", "").casefold() != "product"


def looks_like_products(first_line: str) -> bool:
    return all(name in header_of(first_line, COLUMNS)[1] for name in REQUIRED)


def _identified(rows: Iterator[TableRow]) -> Iterator[TableRow | Fault]:
    """Yield the rows. In a file whose column of SKUs is empty (Etsy), the names are the identifiers.

    If a row has a SKU after all, the rows before it without one are faults.
    """
    without: list[Fault] = []
    has_sku = False
    for row in rows:
        if kinds.identifier(row):
            has_sku = True
            yield from without
            without.clear()
        elif not has_sku and not row.fault and row.cells.get("name") and spelled(row.headers["handle"]) == "sku":
            without.append(Fault(row.line, _without_handle(row), earlier=row.line))
            row = replace(row, cells=row.cells | {"handle": row.cells["name"]})
        yield row


def _own(header: str) -> str | None:
    """Return our name for a header that is in no list."""
    rules = (properties.metafield, prices.column, sales.column, visibility.column)
    return next(filter(None, (rule(header) for rule in rules)), None)


def _without_handle(row: TableRow) -> str:
    name = row.cells.get("name")
    of = f" of {name!r:.60}" if name else ""
    return f"the row{of} has no {row.headers['handle']}: every row names the product it belongs to"


def _finished(found: ProductRows) -> Iterator[Drafted]:
    if found.has_fault:
        return
    if not found.values.get("name"):
        header = found.headers["name"]
        yield Fault(found.line, f"product {found.handle!r:.60} has no {header} in any of its rows")
        return
    try:
        reason = found.why_hidden()
    except visibility.UnknownState as error:
        yield Fault(found.line, f"product {found.handle!r:.60}: {error.message(found.headers)}")
        return
    if reason is not None:
        yield Skipped(found.line, f"product {found.handle!r:.60} is not visible in the shop: {reason}", reason)
    else:
        data = found.product().as_data()
        yield Draft(found.line, {"source_type": "product", "source_id": found.handle, "source_data": data})
