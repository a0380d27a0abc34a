"""What a source states about a product, as rows of a table: prices, choices, measures, each as the source has it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import upper_first

CURRENCIES = {"USD": "$", "EUR": "€", "GBP": "£", "CAD": "CA$", "AUD": "A$"}
MOST_VARIANTS, MOST_CHOICES = 6, 120
AMOUNT = re.compile(r"\d+(?:[.,]\d+)?")
MEASURE = re.compile(r"(?<![\d.])(\d+)\.(\d{1,3})(?= (?:kg|g|lb|oz|mm|cm|m|ml|l)\b)")
RIBBON = "ribbon"  # advertises, and states nothing
COMMA = frozenset({"de", "fr", "es", "it"})  # languages that write 12,50 €


def record_of(source: Mapping[str, Any], said: Mapping[str, str], language: str) -> dict[str, str]:
    """Rows by their labels, in the words of `said`, which a kind of product brings."""
    labels, words = pairs(said.get("labels", "")), pairs(said.get("words", ""))
    currency = str(source.get("currency") or "")

    def price(text: str) -> str:
        return amount(text, currency, language)

    rows: dict[str, str] = {}
    low, _, high = str(source.get("price") or "").partition(" to ")
    if low and any(sign in "123456789" for sign in low):
        rows["price"] = price(low) if not high else said["range"].format(low=price(low), high=price(high))
    rows["before"] = price(str(source.get("compare_at_price") or ""))
    rows["stock"] = words.get(str(source.get("availability") or ""), "")
    named = {labels.get(name, name): value for name, value in rows.items()}
    named |= {labels.get(name, name): value for name, value in _choices(source)}
    named |= dict(_variants(source, price, said.get("before", "")))
    named |= {
        labels.get(name.casefold(), name): value for name, value in _parted(source.get("details")) if name != RIBBON
    }
    told = {upper_first(without_markup(name)): without_markup(value) for name, value in named.items() if value and name}
    return {name: MEASURE.sub(r"\1,\2", value) for name, value in told.items()} if language in COMMA else told


def pairs(text: str) -> dict[str, str]:
    """`a=b / c=d` as a mapping."""
    return dict(pair.split("=", 1) for pair in text.split(" / ") if "=" in pair)


def amount(text: str, currency: str, language: str) -> str:
    """A price as its language writes it, with its currency if that is known."""
    if not AMOUNT.fullmatch(text):
        return without_markup(text)
    if language in COMMA:
        return f"{text.replace('.', ',')} {CURRENCIES.get(currency, currency)}".strip()
    return f"{CURRENCIES[currency]}{text}" if currency in CURRENCIES else f"{text} {currency}".strip()


def _choices(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in _parted(source.get("options")) if len(value) <= MOST_CHOICES)


def _variants(source: Mapping[str, Any], price: Any, before: str) -> Iterator[tuple[str, str]]:
    """Only where their prices differ: else the rows would say one thing again and again."""
    told = [(name, value.split(", ")) for name, value in _parted(source.get("variants"))]
    if len({facts[0] for _, facts in told}) < 2:
        return
    for name, (first, *rest) in told[:MOST_VARIANTS]:
        if AMOUNT.fullmatch(first):
            reduced = next((part.removeprefix("before ") for part in rest if part.startswith("before ")), "")
            yield name, f"{price(first)} ({before} {price(reduced)})" if reduced else price(first)


def _parted(entries: Any) -> Iterator[tuple[str, str]]:
    """The entries of a list of texts such as `Size: S, M`."""
    for entry in entries if isinstance(entries, list) else ():
        name, colon, value = str(entry).partition(": ")
        if colon:
            yield name, value
