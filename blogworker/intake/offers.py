"""The offers of a product: each row of an export is a variant with its price, or the product itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from blogworker.intake import identifiers, stock
from blogworker.intake.money import Point, amount, currency, quantity
from blogworker.intake.properties import properties
from blogworker.intake.table import BadCell
from blogworker.intake.visibility import folded
from blogworker.intake.words import NO
from blogworker.product import Availability, Option, Variant, availability_of, distinct_variants, former_price

OPTIONS = range(1, 7)
COLUMNS = {
    "on_sale": ("onsale",),
    "discount_mode": ("discountmode",),  # Wix classic
    "discount_value": ("discountvalue",),
    **{f"option_name_{n}": (f"option{n}name", f"optionname{n}", f"productoptionname{n}") for n in OPTIONS},
    **{
        f"option_value_{n}": (
            f"option{n}value", f"optionvalue{n}", f"productoptiondescription{n}", f"productoptionchoices{n}",
        )
        for n in OPTIONS
    },
}  # fmt: skip
WITHOUT_OPTIONS = ("title", "default title")  # what Shopify writes for a product without variants
COLOUR = re.compile(r"^#[0-9a-f]{3,8}:|:#[0-9a-f]{3,8}$", re.IGNORECASE)  # Wix: `#000000:Black`, `Black:#000000`
CHOICE_LONGEST = 60
CHOSEN = ("colour", "size")  # columns that become options if the rows of a product differ in them


@dataclass(frozen=True, slots=True)
class Offer:
    choices: tuple[str, ...]
    price: Decimal | None
    compare_at: Decimal | None
    availability: Availability
    sku: str
    weight: str
    differing: tuple[str, ...] = ()  # its values of CHOSEN


class Offers:
    """The offers of one product, added row by row."""

    def __init__(self) -> None:
        self.currency: str | None = None
        self.details: dict[str, list[str]] = {}
        self._offers: list[Offer] = []
        self._base: Decimal | None = None  # the price of the product, to which Wix adds the surcharge of a variant
        self._discount: tuple[str, Decimal] = ("", Decimal(0))
        self._names: dict[int, str] = {}
        self._values: dict[int, list[str]] = {}
        self._shown: set[tuple[int, str]] = set()  # position and value of an option that a variant has
        self._hidden: set[tuple[int, str]] = set()

    def add(self, cells: Mapping[str, str], point: Point | None, *, of_product: bool) -> None:
        """Add a row. `of_product`: the row lists the values of each option. Raises BadCell with the bad price."""
        price, compare_at = self._prices(cells, point)
        found = properties(cells, point)
        values = self._choices(cells, listed=of_product)
        for place, value in values:
            known = self._values.setdefault(place, [])
            known += [] if value in known else [value]
        choices = () if of_product else tuple(value for _, value in values)
        self._shown |= set() if of_product else set(values)
        for name, value in found.items():
            known = self.details.setdefault(name, [])
            if value not in known:
                known.append(value)
        available = stock.availability(cells, point)
        if price is not None or choices or available:
            sku = cells.get("sku", "")
            sku = "" if identifiers.rewritten(sku) else sku[:CHOICE_LONGEST]
            differing = tuple(found.get(name, "") for name in CHOSEN)
            self._offers.append(Offer(choices, price, compare_at, available, sku, found.get("weight", ""), differing))

    def _prices(self, cells: Mapping[str, str], point: Point | None) -> tuple[Decimal | None, Decimal | None]:
        amounts = {
            name: _amount(name, cells, point) for name in ("price", "compare_at_price", "surcharge", "sale_price")
        }
        price, compare_at = amounts["price"], amounts["compare_at_price"]
        if price is not None:
            self.currency = self.currency or currency(cells["price"])
            self._base = price if self._base is None else self._base
            self._discount = _discount(cells, point) or self._discount
        elif amounts["surcharge"] is not None and self._base is not None:
            price = self._base + amounts["surcharge"]
        if folded(cells.get("on_sale", "")) in NO:
            amounts["sale_price"] = None
        if price is not None and (lower := amounts["sale_price"] or self._reduced(price)) and lower < price:
            price, compare_at = lower, price
        return price, compare_at if price is None or compare_at is None or compare_at > price else None

    def _reduced(self, price: Decimal) -> Decimal | None:
        mode, value = self._discount
        if mode == "PERCENT" and value < 100:
            return round(price * (100 - value) / 100, 2)
        return price - value if mode == "AMOUNT" and value < price else None

    def hide(self, cells: Mapping[str, str]) -> None:
        """Leave out the choices of a variant that shoppers cannot see, unless another variant has them."""
        self._hidden |= set(self._choices(cells, listed=False))

    def _choices(self, cells: Mapping[str, str], *, listed: bool) -> list[tuple[int, str]]:
        """Return the values of the options with their positions. `listed`: a cell has several values."""
        choices = []
        for place in OPTIONS:
            if name := cells.get(f"option_name_{place}"):
                self._names.setdefault(place, name)
            cell = cells.get(f"option_value_{place}", "")
            if (self._names.get(place, "").casefold(), cell.casefold()) == WITHOUT_OPTIONS:
                continue
            values = [COLOUR.sub("", part.strip())[:CHOICE_LONGEST] for part in (cell.split(";") if listed else [cell])]
            choices += [(place, value) for value in values if value]
        return choices

    @property
    def prices(self) -> list[Decimal]:
        """Return the prices; none if all are zero, because then the shop states none."""
        prices = [offer.price for offer in self._offers if offer.price is not None]
        return prices if any(prices) else []

    @property
    def compare_at(self) -> str:
        """Return the former price of the product."""
        priced = [one for one in self._offers if one.price is not None] if self.prices else []
        variants = [Variant((), written(one.price), written(one.compare_at)) for one in priced]
        return former_price(variants, low=written(min(self.prices, default=None)))

    @property
    def _chosen(self) -> list[int]:
        """Return the positions in CHOSEN where the rows differ, for a product without options."""
        if any(offer.choices for offer in self._offers):
            return []
        found = [{offer.differing[place] for offer in self._offers} - {""} for place in range(len(CHOSEN))]
        return [place for place, values in enumerate(found) if len(values) > 1]

    @property
    def options(self) -> tuple[Option, ...]:
        if chosen := self._chosen:
            values = ([offer.differing[place] for offer in self._offers] for place in chosen)
            named = zip(chosen, values, strict=True)
            return tuple(Option(CHOSEN[place], tuple(dict.fromkeys(filter(None, each)))) for place, each in named)
        gone = self._hidden - self._shown
        found = {place: [one for one in values if (place, one) not in gone] for place, values in self._values.items()}
        return tuple(
            Option(self._names.get(place, "")[:CHOICE_LONGEST], tuple(values))
            for place, values in found.items()
            if values
        )

    def _choices_of(self, offer: Offer) -> tuple[str, ...]:
        choices = offer.choices or tuple(offer.differing[place] for place in self._chosen)
        return tuple(choice[:CHOICE_LONGEST] for choice in choices if choice)

    @property
    def variants(self) -> tuple[Variant, ...]:
        is_priced = bool(self.prices)
        return distinct_variants(
            [
                Variant(
                    choices=choices,
                    price=written(offer.price) if is_priced else "",
                    compare_at_price=written(offer.compare_at) if is_priced else "",
                    availability=offer.availability,
                    sku=offer.sku,
                    weight=offer.weight,
                )
                for offer in self._offers
                if (choices := self._choices_of(offer))
            ]
        )

    @property
    def availability(self) -> Availability:
        chosen = [offer for offer in self._offers if offer.choices] or self._offers
        return availability_of([offer.availability for offer in chosen])


def written(price: Decimal | None) -> str:
    """Return the price with at least two decimals, or with none if it is whole: `26`, `26.00`, `26.50`."""
    if price is None:
        return ""
    whole, _, decimals = f"{price:f}".partition(".")
    if decimals in ("", "0"):
        return whole
    return f"{whole}.{decimals[:2]:0<2}{decimals[2:].rstrip('0')}"


def _amount(name: str, cells: Mapping[str, str], point: Point | None) -> Decimal | None:
    if not (cell := cells.get(name)):
        return None
    try:
        return amount(cell, point)
    except ValueError as error:
        raise BadCell(name, cell, str(error)) from None


def _discount(cells: Mapping[str, str], point: Point | None) -> tuple[str, Decimal] | None:
    try:
        value = quantity(cells.get("discount_value", ""), point)
    except ValueError:
        return None
    return cells.get("discount_mode", "").upper(), value
