"""Whether the product of a row is in stock."""

from collections.abc import Mapping
from functools import cache

from blogworker.intake.money import Point, quantity
from blogworker.intake.visibility import folded
from blogworker.intake.words import NO, YES
from blogworker.product import Availability

COLUMNS = {  # our name -> spellings in a header
    "stock": (
        "variantinventoryqty", "inventoryquantity", "inventory", "instock", "availability", "stockstatus", "stock",
        "stockquantity", "quantity", "lagerbestand", "bestand", "verfugbarkeit", "quantite", "disponibilite",
        "existencias", "cantidad", "disponibilidad", "giacenza", "quantita", "disponibilita", "voorraad", "aantal",
        "beschikbaarheid", "estoque",
    ),
    "stock_tracker": ("variantinventorytracker", "inventorytracker"),
    "stock_policy": ("variantinventorypolicy", "continuesellingwhenoutofstock"),
}  # fmt: skip
IN_STOCK = (
    "in stock", "instock", "available", "limited availability", "auf lager", "lieferbar", "sofort lieferbar",
    "verfügbar", "en stock", "disponible", "en existencia", "disponibile", "op voorraad", "leverbaar", "em estoque",
    "unlimited",
)  # fmt: skip
OUT_OF_STOCK = (
    "out of stock", "outofstock", "sold out", "soldout", "unavailable", "ausverkauft", "nicht auf lager",
    "nicht lieferbar", "nicht verfügbar", "rupture de stock", "en rupture de stock", "épuisé", "indisponible",
    "agotado", "sin existencias", "esaurito", "non disponibile", "uitverkocht", "niet op voorraad", "esgotado",
)  # fmt: skip
CONTINUE = frozenset({"continue", *YES})


def availability(cells: Mapping[str, str], point: Point | None) -> Availability:
    """Return the availability; empty if it is unknown, if stock is not tracked, or if the shop sells without stock."""
    cell = cells.get("stock", "")
    word = folded(cell)
    if word in _words():
        return _words()[word]
    if not any(letter.isdigit() for letter in cell) or cells.get("stock_tracker") == "":
        return ""
    if cell.startswith("-"):
        is_left = False
    else:
        try:
            is_left = quantity(cell, point) > 0
        except ValueError:
            return ""
    if is_left:
        return "in stock"
    return "" if folded(cells.get("stock_policy", "")) in CONTINUE else "out of stock"


@cache
def _words() -> dict[str, Availability]:
    words: dict[str, Availability] = {}
    words |= {folded(word): "in stock" for word in (*IN_STOCK, *(word for word in YES if not word.isdigit()))}
    return words | {
        folded(word): "out of stock" for word in (*OUT_OF_STOCK, *(word for word in NO if not word.isdigit()))
    }
