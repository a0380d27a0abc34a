"""One product of an export, collected from its rows, and the source_data of a blog about it."""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from blogworker.intake import identifiers, visibility
from blogworker.intake.money import amount, currency
from blogworker.intake.readable import readable

AGREED = ("name", "description", "vendor", "product_type", "url")  # rows that differ in these are different products
SINGLE = (*AGREED, "tags", "currency", "sku")
OF_A_VARIANT = frozenset({"variant", "media"})  # kinds of Wix rows that do not state the product's visibility
IMAGES_MAX = 10
DESCRIPTION_MAX = 15_000  # characters; at four bytes each they still fit into source_data
SEPARATORS = re.compile(r";|(?<![,\s])[,\s]++(?=https?://)")
WIX_MEDIA = "https://static.wixstatic.com/media/"
WIX_FILE = re.compile(r"[\w.-]+~mv2[\w.]*\.\w{2,5}")


class Product:
    """One product, row by row."""

    def __init__(self, line: int, handle: str) -> None:
        self.line = line
        self.handle = handle
        self.is_spoiled = False
        self.told: dict[str, str] = {}  # the first value of each column that is not empty
        self._lines: dict[str, int] = {}  # the line of that value
        self._prices: list[Decimal] = []
        self._compare_at: list[Decimal] = []
        self._currency: str | None = None
        self._images: list[str] = []
        self._variant_images: list[str] = []

    def add(self, line: int, cells: dict[str, str]) -> str | None:
        """Add a row. Gives the reason if the row is bad."""
        is_variant = cells.get("kind", "").casefold() in OF_A_VARIANT
        agreed = AGREED if is_variant else (*AGREED, *visibility.COLUMNS)
        for name in SINGLE if is_variant else (*SINGLE, *visibility.COLUMNS):
            if not (cell := cells.get(name)):
                continue
            if name in agreed and cell.split() != self.told.get(name, cell).split():
                return self._contradiction(name, cell)
            self.told.setdefault(name, cell)
            self._lines.setdefault(name, line)
        self._images += _addresses(cells.get("image", ""))
        self._variant_images += _addresses(cells.get("variant_image", ""))
        for name in ("price", "compare_at_price", "surcharge"):
            try:
                self._take_price(name, cells)
            except ValueError:
                return f"{name} {cells[name][:40]!r} is not a price: write it as 1299.00"
        return None

    def _contradiction(self, name: str, cell: str) -> str:
        return (
            f"{name} {cell!r:.40} contradicts {self.told[name]!r:.40} on line {self._lines[name]}: two products have "
            f"the identifier {self.handle!r:.60}; give each its own, and do not save exports with a spreadsheet"
        )

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

    def source_data(self) -> dict[str, Any]:
        told = self.told
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
            "sku": None if identifiers.rewritten(told.get("sku", "")) else told.get("sku"),
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
    """The web addresses in a cell. Shops join several with semicolons, commas or spaces; Wix may give a bare name."""
    parts = SEPARATORS.split(cell)
    whole = (WIX_MEDIA + part if WIX_FILE.fullmatch(part) else part for part in map(str.strip, parts))
    return list(dict.fromkeys(part for part in whole if _is_address(part)))


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
