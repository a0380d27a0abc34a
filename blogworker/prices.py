"""The prices of the providers, by date, and the cost of one call.

A table has rows for each model: the price, `from` which day it applies (empty: always), and the day on which a person
last `checked` it on the provider's page. The row of the day of the call is used. Calls of a model without a row are
recorded without a cost, and shown as unpriced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

CACHE_WRITE_FACTOR = (
    1.25  # times the input price, unless a row has its own; models that do not bill cache writes report none
)
LONG_PROMPT = 272_000  # input tokens; a longer call costs more as a whole
LONG_INPUT_FACTOR, LONG_OUTPUT_FACTOR = 2.0, 1.5
TIER_FACTORS = {"flex": 0.5, "batch": 0.5, "priority": 2.0, "fast": 2.0}  # by the tier that the response names
MILLION = 1_000_000
CHECKED = date(2026, 11, 23)


class Dated(BaseModel):
    """A row of a price table."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    since: date | None = Field(None, alias="from", description="the first day on which it applies, UTC; unset: always")
    checked: date | None = Field(None, description="when a person last checked it on the provider's page")


class TextPrice(Dated):
    """USD per million tokens, standard tier."""

    input: float = Field(ge=0)
    cached: float = Field(ge=0)
    written: float | None = Field(None, ge=0)
    output: float = Field(ge=0)


class ImagePrice(Dated):
    """USD per picture."""

    usd: float = Field(ge=0)


P = TypeVar("P", bound=Dated)


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a provider counted for one call."""

    tokens_in: int  # cached and cache-written ones included
    cached: int = 0
    written: int = 0
    tokens_out: int = 0  # reasoning included


def text_cost(price: TextPrice, usage: Usage, *, tier: str | None = None) -> float:
    """Return the cost of one call in USD, at the service tier of the response."""
    fresh = max(0, usage.tokens_in - usage.cached - usage.written)
    input_usd = fresh * price.input + usage.cached * price.cached + usage.written * _write_price(price)
    output_usd = usage.tokens_out * price.output
    if usage.tokens_in > LONG_PROMPT:
        input_usd, output_usd = input_usd * LONG_INPUT_FACTOR, output_usd * LONG_OUTPUT_FACTOR
    return (input_usd + output_usd) * TIER_FACTORS.get(tier or "", 1.0) / MILLION


def in_force(rows: Sequence[P], on: date) -> P | None:
    """Return the row that applies on this day; None if there is none."""
    return next((row for row in reversed(rows) if row.since is None or row.since <= on), None)


def highest_token_price(rows: Sequence[TextPrice]) -> float:
    """Return the highest USD of any row for one input and one output token; 0 without rows."""
    return max((max(row.input, _write_price(row)) + row.output for row in rows), default=0.0) / MILLION


def _write_price(price: TextPrice) -> float:
    return price.input * CACHE_WRITE_FACTOR if price.written is None else price.written


def _rows(value: object) -> object:
    """Accept a single row without a list, and the price of a picture as a number."""
    if isinstance(value, bool | int | float):
        value = {"usd": value}
    return [value] if isinstance(value, Mapping | Dated) else value


def _in_order(rows: tuple[P, ...]) -> tuple[P, ...]:
    ordered = tuple(sorted(rows, key=lambda row: row.since or date.min))
    for earlier, later in pairwise(ordered):
        if earlier.since == later.since:
            raise ValueError(f"two rows of one model apply from {later.since or 'the beginning'}")
    return ordered


TextPrices = Annotated[tuple[TextPrice, ...], BeforeValidator(_rows), AfterValidator(_in_order)]
ImagePrices = Annotated[tuple[ImagePrice, ...], BeforeValidator(_rows), AfterValidator(_in_order)]


def _text(input: float, cached: float, output: float, *, written: float | None = None) -> tuple[TextPrice, ...]:  # noqa: A002
    return (TextPrice(input=input, cached=cached, written=written, output=output, checked=CHECKED),)


TEXT_PRICES: dict[str, tuple[TextPrice, ...]] = {
    "gpt-6-luna": _text(0.10, 0.01, 0.50, written=0.125),
    "gpt-6.1-terra": _text(1.00, 0.05, 5.00, written=1.25),
    "gpt-6.1-sol": _text(2.00, 0.10, 10.00, written=2.50),
    "gpt-6-sol": _text(2.00, 0.20, 10.00, written=2.50),
    "gpt-6-astra": _text(10.00, 1.00, 50.00, written=12.50),
    "gpt-5.6-luna": _text(0.20, 0.02, 1.20, written=0.25),
    "gpt-5.6-terra": _text(2.00, 0.20, 12.00, written=2.50),
    "gpt-5.6-sol": _text(4.00, 0.40, 20.00, written=5.00),
    "gpt-5.5": _text(5.00, 0.50, 30.00),
    "gpt-5.4": _text(2.50, 0.25, 15.00),
    "gpt-5.4-mini": _text(0.75, 0.075, 4.50),
    "gpt-5.4-nano": _text(0.20, 0.02, 1.25),
}
IMAGE_PRICES: dict[str, tuple[ImagePrice, ...]] = {
    "black-forest-labs/flux-schnell": (ImagePrice(usd=0.003, checked=CHECKED),),
    "black-forest-labs/flux-1.1-pro": (ImagePrice(usd=0.04, checked=CHECKED),),
}
