"""What is known of one product, whoever told it: a shop's export, a producer's JSON or the shop's API.

A fact that was not told is empty. Amounts, weights and measures are texts, as they were told: a number that is rounded,
or given a unit by a guess, is no fact.
"""

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
    """What a buyer chooses, such as the size, and from which values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination of an option's values, where it differs from others in price, weight or availability."""

    choices: tuple[str, ...]
    price: str = ""
    compare_at_price: str = ""
    availability: Availability = ""
    sku: str = ""
    weight: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """A measure or another property with its name, such as `weight`, `1.2 kg`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    description: str = ""  # text; a line is a paragraph, a list item or a row of a table
    price: str = ""  # the lowest
    price_max: str = ""  # the highest, if there are several
    compare_at_price: str = ""  # what the product cost before
    currency: str = ""  # as told, never guessed
    availability: Availability = ""
    options: tuple[Option, ...] = ()
    variants: tuple[Variant, ...] = ()  # the most telling first
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
        """In whole percent, if the product has one price and had a higher one before."""
        now, before = number(self.price), number(self.compare_at_price)
        if self.price_max or now is None or before is None or not now < before:
            return ""
        return f"{100 * (before - now) / before:.0f}%"

    def as_data(self) -> dict[str, Any]:
        """As `source_data`: JSON without what is not known."""
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


def telling(variants: list[Variant]) -> tuple[Variant, ...]:
    """Those that say more than the product does, at most VARIANTS_MAX: each price once before any price again, the
    lowest and the highest first. None where all are alike."""
    if len({(one.price, one.compare_at_price, one.availability, one.weight) for one in variants}) < 2:
        return ()
    if len(variants) <= VARIANTS_MAX:
        return tuple(variants)
    priced = [one for one in variants if number(one.price) is not None]
    ends = [min(priced, key=_amount), max(priced, key=_amount)] if priced else []
    each = {(one.price, one.availability): one for one in reversed(variants)}
    return tuple(dict.fromkeys([*ends, *reversed(each.values()), *variants]))[:VARIANTS_MAX]


def availability_of(known: list[Availability]) -> Availability:
    """Of a product whose variants are available so: one that can be bought is enough."""
    if "in stock" in known:
        return "in stock"
    return "out of stock" if known and all(known) else ""


def number(amount: str) -> Decimal | None:
    """The amount, if its text is nothing but a number."""
    try:
        found = Decimal(amount) if amount.isascii() else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def _amount(variant: Variant) -> Decimal:
    return number(variant.price) or Decimal(0)
