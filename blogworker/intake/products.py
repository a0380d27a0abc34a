"""Product exports of Wix Stores (classic and new catalog) and Shopify: one blog a product.

A product is a run of rows with one handle. One of them carries the name and the description; the others add variants
with their prices, or images. So the reader holds one product at a time, and a handle that comes back later is a fault.
A product with a bad row is left out whole, since half of its prices would be wrong ones.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from blogworker.errors import Fault
from blogworker.intake.money import amount, currency
from blogworker.intake.readable import readable
from blogworker.intake.rows import Draft, Drafted, Skipped
from blogworker.intake.table import HeaderError, TableRow, header_of, table

COLUMNS = {
    "handle": ("handle", "handleid", "urlhandle"),
    "name": ("title", "name"),
    "description": ("bodyhtml", "description", "plaindescription"),
    "vendor": ("vendor", "brand"),
    "product_type": ("type", "producttype", "collection", "collections", "category", "categories"),
    "tags": ("tags",),
    "price": ("variantprice", "price"),
    "surcharge": ("surcharge",),  # Wix classic: what a variant costs above its product
    "compare_at_price": ("variantcompareatprice", "compareatprice", "strikethroughprice"),
    "currency": ("currency", "currencycode"),
    "image": ("imagesrc", "productimageurl", "imageurl", "media", "mediaurl"),
    "variant_image": ("variantimage", "variantimageurl"),
    "sku": ("variantsku", "sku"),
    "url": ("url", "producturl"),
    "published": ("published", "publishedononlinestore", "visible"),
    "status": ("status",),
}
REQUIRED = ("handle", "name")
EXPECTED = "Handle, Title, Body (HTML), Variant Price (Shopify) or handleId, fieldType, name, description, price (Wix)"
SINGLE = ("name", "description", "vendor", "product_type", "tags", "currency", "sku", "url", "published", "status")
NO_WORDS = frozenset({"false", "no", "0", "n", "off"})
IMAGES_MAX = 10
DESCRIPTION_MAX = 15_000  # characters, so that four bytes each still fit into source_data
WIX_MEDIA = "https://static.wixstatic.com/media/"
WIX_FILE = re.compile(r"[\w.-]+~mv2[\w.]*\.\w{2,5}")


def drafts(stream: BinaryIO, *, published_only: bool = False) -> Iterator[Drafted]:
    """A product blog for each product, its line being its first row's."""
    product: _Product | None = None
    begun: dict[str, int] = {}
    for row in _table(stream):
        if isinstance(row, Fault):
            yield row
            return
        handle = row.cells.get("handle", "")
        if not handle:
            yield Fault(row.line, row.fault or "the row has no handle: every row names the product it belongs to")
            continue
        if product is not None and product.handle != handle:
            yield from product.finished(published_only=published_only)
            product = None
        if product is None:
            product = _Product(row.line, handle)
            if handle in begun:
                product.is_spoiled = True
                yield Fault(row.line, f"product {handle!r} began on line {begun[handle]}: keep its rows together")
            begun.setdefault(handle, row.line)
        if reason := row.fault or product.add(row.cells):
            product.is_spoiled = True
            yield Fault(row.line, reason)
    if product is not None:
        yield from product.finished(published_only=published_only)


def looks_like_products(first_line: str) -> bool:
    return all(name in header_of(first_line, COLUMNS)[1] for name in REQUIRED)


def _table(stream: BinaryIO) -> Iterator[TableRow | Fault]:
    try:
        yield from table(stream, COLUMNS, REQUIRED)
    except HeaderError as error:
        shown = ", ".join(cell.strip()[:40] for cell in error.found[:12])
        found = "".join(sign if sign.isprintable() else "?" for sign in shown)
        yield Fault(error.line, f"unknown columns: found {found or 'none'}; expected {EXPECTED}")


class _Product:
    """What the rows of one handle have told so far."""

    def __init__(self, line: int, handle: str) -> None:
        self.line = line
        self.handle = handle
        self.is_spoiled = False
        self._told: dict[str, str] = {}  # the first that is not empty of each SINGLE
        self._prices: list[Decimal] = []
        self._compare_at: list[Decimal] = []
        self._currency: str | None = None
        self._images: list[str] = []
        self._variant_images: list[str] = []

    def add(self, cells: dict[str, str]) -> str | None:
        """Take in one more row. Gives the reason if it is a bad one."""
        for name in SINGLE:
            if cells.get(name):
                self._told.setdefault(name, cells[name])
        self._images += _addresses(cells.get("image", ""))
        self._variant_images += _addresses(cells.get("variant_image", ""))
        for name in ("price", "compare_at_price", "surcharge"):
            try:
                self._take_price(name, cells)
            except ValueError:
                return f"{name} {cells[name][:40]!r} is not a price: write it as 1299.00"
        return None

    def _take_price(self, name: str, cells: dict[str, str]) -> None:
        cell = cells.get(name)
        if not cell:
            return
        value = amount(cell)
        if name == "price":
            self._prices.append(value)
            self._currency = self._currency or currency(cell)
        elif name == "compare_at_price":
            self._compare_at.append(value)
        elif self._prices and not cells.get("price"):
            self._prices.append(self._prices[0] + value)

    def finished(self, *, published_only: bool) -> Iterator[Drafted]:
        if self.is_spoiled:
            return
        if not self._told.get("name"):
            yield Fault(self.line, f"product {self.handle!r} has no title in any of its rows")
        elif published_only and self._is_hidden():
            yield Skipped(self.line, f"product {self.handle!r} is not published")
        else:
            yield Draft(
                self.line, {"source_type": "product", "source_id": self.handle, "source_data": self._source_data()}
            )

    def _is_hidden(self) -> bool:
        status = self._told.get("status", "active").casefold()
        return self._told.get("published", "true").casefold() in NO_WORDS or status in ("draft", "archived")

    def _source_data(self) -> dict[str, Any]:
        told = self._told
        images = list(dict.fromkeys(self._images + self._variant_images))[:IMAGES_MAX]
        low, high = (min(self._prices), max(self._prices)) if self._prices else (None, None)
        data = {
            "name": readable(told["name"], longest=500),
            "description": readable(told.get("description", ""), longest=DESCRIPTION_MAX),
            "price": _written(low),
            "price_max": _written(high) if high != low else None,
            "compare_at_price": next(
                (_written(value) for value in self._compare_at if low is None or value > low), None
            ),
            "currency": told.get("currency") or self._currency,
            "vendor": told.get("vendor"),
            "product_type": ", ".join(_parts(told.get("product_type", ""), ";")),
            "tags": _parts(told.get("tags", ""), ",;"),
            "images": images,
            "image": images[0] if images else None,
            "sku": told.get("sku"),
            "handle": self.handle,
            "url": next(iter(_addresses(told.get("url", ""))), None),
        }
        return {name: value for name, value in data.items() if value}


def _written(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:f}"


def _parts(text: str, separators: str) -> list[str]:
    parts = (part.strip() for part in re.split(f"[{separators}]", text))
    return list(dict.fromkeys(part for part in parts if part))


def _addresses(cell: str) -> list[str]:
    """The web addresses in a cell. Wix joins several with semicolons and may give the file's bare name."""
    whole = (WIX_MEDIA + part if WIX_FILE.fullmatch(part) else part for part in _parts(cell, ";"))
    return [part for part in whole if _is_address(part)]


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
