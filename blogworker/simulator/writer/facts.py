"""The facts in the source of a product, as rows of a table: prices, options, measures."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import upper_first

CURRENCIES = {"USD": "$", "EUR": "€", "GBP": "£", "CAD": "CA$", "AUD": "A$"}
MOST_VARIANTS, MOST_CHOICES = 6, 120
AMOUNT = re.compile(r"\d+(?:[.,]\d+)?")
MEASURE = re.compile(r"(?<![\d.])(\d+)\.(\d{1,3})(?= (?:kg|g|lb|oz|mm|cm|m|ml|l)\b)")
RIBBON = "ribbon"  # an advertisement, not a fact
COMMA = frozenset({"de", "fr", "es", "it"})  # languages that write 12,50 €


def source_facts(source: Mapping[str, Any], phrases: Mapping[str, str], language: str) -> dict[str, str]:
    """The rows: label and value. `phrases` of the kind of product has the labels in the language."""
    labels, words = pairs(phrases.get("labels", "")), pairs(phrases.get("words", ""))
    currency = str(source.get("currency") or "")

    def price(text: str) -> str:
        return amount(text, currency, language)

    rows: dict[str, str] = {}
    low, _, high = str(source.get("price") or "").partition(" to ")
    if low and any(sign in "123456789" for sign in low):
        rows["price"] = price(low) if not high else phrases["range"].format(low=price(low), high=price(high))
    rows["before"] = price(str(source.get("compare_at_price") or ""))
    rows["stock"] = words.get(str(source.get("availability") or ""), "")
    named = {labels.get(name, name): value for name, value in rows.items()}
    named |= {labels.get(name, name): value for name, value in _choices(source)}
    named |= dict(_variants(source, price, phrases.get("before", "")))
    named |= {
        labels.get(name.casefold(), name): value for name, value in _labelled(source.get("details")) if name != RIBBON
    }
    table = {
        upper_first(without_markup(name)): without_markup(value) for name, value in named.items() if value and name
    }
    return {name: MEASURE.sub(r"\1,\2", value) for name, value in table.items()} if language in COMMA else table


def pairs(text: str) -> dict[str, str]:
    """Parse `a=b / c=d`."""
    return dict(pair.split("=", 1) for pair in text.split(" / ") if "=" in pair)


def amount(text: str, currency: str, language: str) -> str:
    """Format a price in a language, with its currency if it is known."""
    if not AMOUNT.fullmatch(text):
        return without_markup(text)
    if language in COMMA:
        return f"{text.replace('.', ',')} {CURRENCIES.get(currency, currency)}".strip()
    return f"{CURRENCIES[currency]}{text}" if currency in CURRENCIES else f"{text} {currency}".strip()


def _choices(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in _labelled(source.get("options")) if len(value) <= MOST_CHOICES)


def _variants(source: Mapping[str, Any], price: Any, before: str) -> Iterator[tuple[str, str]]:
    """The prices of the variants, if they differ."""
    variants = [(name, value.split(", ")) for name, value in _labelled(source.get("variants"))]
    if len({facts[0] for _, facts in variants}) < 2:
        return
    for name, (first, *rest) in variants[:MOST_VARIANTS]:
        if AMOUNT.fullmatch(first):
            reduced = next((part.removeprefix("before ") for part in rest if part.startswith("before ")), "")
            yield name, f"{price(first)} ({before} {price(reduced)})" if reduced else price(first)


def _labelled(entries: Any) -> Iterator[tuple[str, str]]:
    """Label and value of entries such as `Size: S, M`."""
    for entry in entries if isinstance(entries, list) else ():
        name, colon, value = str(entry).partition(": ")
        if colon:
            yield name, value
