"""Columns with a measure or another property of a product. The unit is in the name of the column or in the cell.

A number without a unit is ignored: it could be grams or kilograms.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal

from blogworker.intake.money import Point, is_ambiguous, quantity
from blogworker.readable import readable

ATTRIBUTES = range(1, 9)
UNITS = ("kg", "g", "lb", "lbs", "oz", "mm", "cm", "m", "inch", "in", "ft", "ml", "l")
MEASURES = {
    "weight": ("weight", "gewicht", "poids", "peso", "waga", "vikt"),
    "length": ("length", "lange", "longueur", "longitud", "lunghezza", "lengte"),
    "width": ("width", "breite", "largeur", "ancho", "larghezza", "breedte"),
    "height": ("height", "hohe", "hauteur", "altura", "altezza", "hoogte"),
    "depth": ("depth", "tiefe", "profondeur", "profundidad", "profondita", "diepte"),
    "diameter": ("diameter", "durchmesser", "diametre", "diametro"),
    "volume": ("volume", "volumen", "capacity", "inhalt", "contenance", "capacidad", "inhoud"),
}
PROPERTIES = {
    "dimensions": ("dimensions", "abmessungen", "dimensiones", "dimensioni", "afmetingen", "measurements"),
    "material": (
        "material",
        "materials",
        "materiau",
        "materiaal",
        "materiale",
        "matiere",
        "fabricproductmetafieldsshopifyfabric",
        "materialproductmetafieldsshopifymaterial",
    ),
    "colour": ("color", "colour", "farbe", "couleur", "colore", "kleur", "colorproductmetafieldsshopifycolorpattern"),
    "size": ("size", "grosse", "taille", "talla", "taglia", "maat"),
}
COLUMNS: dict[str, tuple[str, ...]] = {**PROPERTIES, **MEASURES}
COLUMNS |= {
    f"{name}_{unit}": tuple(f"{word}{joint}{unit}" for word in words for joint in ("", "in"))
    for name, words in MEASURES.items()
    for unit in UNITS
}
COLUMNS |= {f"attribute_name_{n}": (f"attribute{n}name",) for n in ATTRIBUTES}  # WooCommerce
COLUMNS |= {f"attribute_value_{n}": (f"attribute{n}values", f"attribute{n}value") for n in ATTRIBUTES}
COLUMNS["weight_g"] += ("variantgrams", "grams", "weightvaluegrams", "variantweightgrams")
COLUMNS["weight_unit"] = ("variantweightunit", "weightunit", "weightunitfordisplay", "gewichtseinheit")
OWN = "own "  # prefix of the names of columns for properties that a shop defined
METAFIELD = re.compile(r"(.+?)\s*\(product\.metafields\.([\w-]+)\.[\w-]+\)")
NO_PROPERTIES = frozenset(
    {"reviews", "seo", "global", "google", "mm-google-shopping", "shopify--discovery--product_recommendation"}
)
NO_WORDS = re.compile(r"gid://|https?://|\{|(?:true|false)\Z", re.I)
WORDS = re.compile(r"[^\W\d_]{2}")
GRAMS = {"kg": Decimal(1000), "g": Decimal(1), "lb": Decimal("453.59237"), "oz": Decimal("28.349523125")}
LONGEST = 80
WITH_UNIT = re.compile(r"\d.*[^\W\d_]|\d.*[\"']")


def metafield(header: str) -> str | None:
    """Return our name for a property that a Shopify shop defined: `Care (product.metafields.custom.care)`."""
    found = METAFIELD.fullmatch(header)
    return f"{OWN}{found[1][:LONGEST]}" if found and found[2] not in NO_PROPERTIES else None


def properties(cells: Mapping[str, str], point: Point | None) -> dict[str, str]:
    """Return the properties of a row: `weight` -> `1.5 kg`."""
    found = {name: cells[name] for name in PROPERTIES if cells.get(name)}
    for n in ATTRIBUTES:
        if (name := cells.get(f"attribute_name_{n}")) and (cell := cells.get(f"attribute_value_{n}")):
            found[name[:LONGEST]] = cell
    for name in MEASURES:
        if (cell := cells.get(name)) and WITH_UNIT.search(cell):
            found[name] = cell
            continue
        if name == "weight" and cells.get("weight_unit") and (value := _positive(cell, point)):
            found[name] = f"{_written(value)} {cells['weight_unit']}"
        for unit in UNITS:
            if value := _positive(cells.get(f"{name}_{unit}"), point):
                found[name] = _weight(value, cells) if (name, unit) == ("weight", "g") else f"{_written(value)} {unit}"
    for name, cell in cells.items():
        if name.startswith(OWN) and (text := _text(cell)):
            found.setdefault(name.removeprefix(OWN), text)
    return {name: " ".join(value.split())[:LONGEST] for name, value in found.items()}


def _text(cell: str) -> str:
    """Return the text of a metafield; empty for a number without a unit, a reference or a structure."""
    if cell.startswith("["):
        try:
            entries = json.loads(cell)
        except (ValueError, RecursionError):
            return ""
        return ", ".join(filter(None, (_text(one) for one in entries if isinstance(one, str))))
    text = readable(cell, longest=LONGEST * 2)
    return "" if NO_WORDS.match(text) or not WORDS.search(text) else text


def _positive(cell: str | None, point: Point | None) -> Decimal | None:
    """Return the number; None also if it is ambiguous: 1,250 kg may mean 1.25 or 1250."""
    try:
        if not cell or (point is None and is_ambiguous(cell)):
            return None
        return quantity(cell, point) or None
    except ValueError:
        return None


def _weight(grams: Decimal, cells: Mapping[str, str]) -> str:
    """Return the weight in the unit of the shop: Shopify exports grams and the unit that the shop shows."""
    unit = cells.get("weight_unit", "").lower()
    if unit not in GRAMS:
        unit = "g"
    return f"{_written(round(grams / GRAMS[unit], 3))} {unit}"


def _written(value: Decimal) -> str:
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
