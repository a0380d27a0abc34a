"""The data of one product, from any source: a shop's export, a producer's JSON or the API of the shop.

An unknown fact is empty. Amounts, weights and measures are the texts of the source, because a rounded number or a
guessed unit would not be a fact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

OPTIONS_MAX, VALUES_MAX = 6, 24
VARIANTS_MAX = 16
IMAGES_MAX = 10
DETAILS_MAX = 12

Availability = Literal["in stock", "out of stock", ""]


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a buyer chooses, such as the size, and its values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination of option values with its own price, weight or availability."""

    choices: tuple[str, ...]
    price: str = ""
    compare_at_price: str = ""
    availability: Availability = ""
    sku: str = ""
    weight: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """A measure or another property with its name, such as `weight` and `1.2 kg`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    description: str = ""  # text; each line is a paragraph, a list item or a table row
    price: str = ""  # the lowest
    price_max: str = ""  # the highest, if there are several
    compare_at_price: str = ""  # the former price
    currency: str = ""  # as in the source, never guessed
    availability: Availability = ""
    options: tuple[Option, ...] = ()
    variants: tuple[Variant, ...] = ()  # the most distinctive first
    sku: str = ""
    vendor: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    images: tuple[Image, ...] = ()
    handle: str = ""
    url: str = ""

    @property
    def discount(self) -> str:
        """Return the discount in whole percent, if the product has a single price and a higher former price."""
        now, before = number(self.price), number(self.compare_at_price)
        if self.price_max or now is None or before is None or not now < before:
            return ""
        return f"{100 * (before - now) / before:.0f}%"

    def as_data(self) -> dict[str, Any]:
        """Return the product as `source_data`: JSON without unknown facts."""
        images = [{"url": image.url, "alt": image.alt} if image.alt else image.url for image in self.images]
        data = {
            "name": self.name,
            "description": self.description,
            "price": self.price,
            "price_max": self.price_max,
            "compare_at_price": self.compare_at_price,
            "currency": self.currency,
            "availability": self.availability,
            "options": [{"name": option.name, "values": list(option.values)} for option in self.options],
            "variants": [_variant(variant) for variant in self.variants],
            "sku": self.sku,
            "vendor": self.vendor,
            "categories": list(self.categories),
            "tags": list(self.tags),
            "details": [{"name": detail.name, "value": detail.value} for detail in self.details],
            "images": images,
            "image": self.images[0].url if self.images else "",
            "handle": self.handle,
            "url": self.url,
        }
        return {name: value for name, value in data.items() if value}


def _variant(variant: Variant) -> dict[str, Any]:
    data = {
        "choices": list(variant.choices),
        "price": variant.price,
        "compare_at_price": variant.compare_at_price,
        "availability": variant.availability,
        "sku": variant.sku,
        "weight": variant.weight,
    }
    return {name: value for name, value in data.items() if value}


def distinct_variants(variants: list[Variant]) -> tuple[Variant, ...]:
    """Return at most VARIANTS_MAX variants: the lowest and the highest price first, then one for each other price, then
    the rest. Empty if all have the same price, availability and weight."""
    if len({(one.price, one.compare_at_price, one.availability, one.weight) for one in variants}) < 2:
        return ()
    if len(variants) <= VARIANTS_MAX:
        return tuple(variants)
    priced = [one for one in variants if number(one.price) is not None]
    ends = [min(priced, key=_amount), max(priced, key=_amount)] if priced else []
    each = {(one.price, one.availability): one for one in reversed(variants)}
    return tuple(dict.fromkeys([*ends, *reversed(each.values()), *variants]))[:VARIANTS_MAX]


def former_price(variants: Sequence[Variant], *, low: str, stated: str = "") -> str:
    """Return the former price of a product with this lowest price: `stated`, unless variants have their own.

    Then all variants at the lowest price must have the same. A variant without a price counts as one of them.
    """
    if not any(one.compare_at_price for one in variants):
        return stated
    cheapest = [one.compare_at_price for one in variants if number(one.price or low) in (None, number(low))]
    return cheapest[0] if len({number(before) or before for before in cheapest}) == 1 else ""


def availability_of(variants: list[Availability]) -> Availability:
    """Return the availability of a product with these variants. One variant in stock is enough."""
    if "in stock" in variants:
        return "in stock"
    return "out of stock" if variants and all(variants) else ""


def number(amount: str) -> Decimal | None:
    """Return the amount, if its text is only a number."""
    try:
        found = Decimal(amount) if amount.isascii() else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def _amount(variant: Variant) -> Decimal:
    return number(variant.price) or Decimal(0)
