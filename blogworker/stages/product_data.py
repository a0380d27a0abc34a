"""Read the product from any source_data: our own keys, those of a shop's API, or the columns of an export.

Values are cleaned and bounded. What is not usable is omitted. Nothing raises.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from blogworker.post.plain import plain, plain_lines, web_address
from blogworker.product import (
    DETAILS_MAX,
    IMAGES_MAX,
    OPTIONS_MAX,
    VALUES_MAX,
    VARIANTS_MAX,
    Availability,
    Detail,
    Image,
    Option,
    Product,
    Variant,
    availability_of,
    former_price,
    number,
)

NAMES = {  # our key -> the keys that producers use for it, the most reliable first
    "name": ("name", "title", "product_name", "productname"),
    "description": ("description", "plain_description", "plaindescription", "body_html", "body_(html)", "body"),
    "price": ("price", "variant_price", "price_min", "min_price", "amount"),
    "price_max": ("price_max", "max_price", "pricemax"),
    "compare_at_price": ("compare_at_price", "variant_compare_at_price", "compareatprice", "compare_at", "list_price"),
    "currency": ("currency", "currency_code", "currencycode", "price_currency", "pricecurrency"),
    "availability": ("availability", "available", "in_stock", "instock", "stock_status"),
    "sku": ("sku", "variant_sku"),
    "vendor": ("vendor", "brand"),
    "categories": ("categories", "product_type", "producttype", "type", "collections", "collection", "category"),
    "tags": ("tags", "labels"),
    "options": ("options", "product_options", "productoptions"),
    "variants": ("variants", "variations"),
    "details": ("details", "specifications", "specs", "attributes", "properties", "measures"),
    "images": ("images", "pictures", "photos", "media", "image", "image_url", "image_src", "productimageurl"),
    "alt": ("image_alt", "image_alt_text", "alt", "alt_text", "alttext"),
    "image": ("image", "image_url", "image_src", "productimageurl"),
    "handle": ("handle", "slug"),
    "url": ("url", "product_url", "link", "permalink"),
}
STATED = ("weight", "dimensions", "length", "width", "height", "depth", "diameter", "volume", "material", "color",
          "colour", "size")  # fmt: skip
NESTED = (
    "value",
    "name",
    "title",
    "label",
    "amount",
    "url",
    "src",
    "description",
)  # keys of the text in an object
IN_STOCK = frozenset({"instock", "true", "yes", "available", "limitedavailability"})
OUT_OF_STOCK = frozenset({"outofstock", "false", "no", "soldout", "unavailable"})
NAME_MAX, DESCRIPTION_MAX, PRICE_MAX, CURRENCY_MAX, SHORT = 200, 6_000, 40, 10, 120
TAGS_MAX, TAG_LONGEST = 12, 40
ENTRIES_MAX = 64  # entries of a list that are read
CATEGORIES_MAX, CHOICE_LONGEST, ALT_LONGEST = 6, 40, 125


def words_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with keys in lower case with underscores: `Variant Price` becomes `variant_price`."""
    return {re.sub(r"\s+", "_", str(key).strip().lower()): value for key, value in data.items()}


def first(known: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((known[name] for name in names if known.get(name) not in (None, "", [], {})), None)


def read_product(data: Mapping[str, Any]) -> Product:
    """Return the product. Its name is empty if the data has none."""
    known = words_of(data)
    found = {word: first(known, names) for word, names in NAMES.items()}
    variants = [_variant(entry) for entry in _entries(found["variants"])]
    low, high = _range(_price(found["price"]), _price(found["price_max"]), variants)
    return Product(
        name=_text(found["name"], NAME_MAX),
        description=plain_lines(_nested(found["description"], "\n"), limit=DESCRIPTION_MAX),
        price=low,
        price_max=high,
        compare_at_price=former_price(variants, low=low, stated=_above(_price(found["compare_at_price"]), low)),
        currency=_currency(known),
        availability=_availability(found["availability"]) or availability_of([one.availability for one in variants]),
        options=tuple(islice(_options(found["options"]), OPTIONS_MAX)),
        variants=tuple(one for one in variants if one.choices)[:VARIANTS_MAX],
        sku=_text(found["sku"], SHORT),
        vendor=_text(found["vendor"], SHORT),
        categories=_texts(found["categories"], ";", SHORT)[:CATEGORIES_MAX],
        tags=_texts(found["tags"], ",;|", TAG_LONGEST)[:TAGS_MAX],
        details=tuple(islice(_details(found["details"], known), DETAILS_MAX)),
        images=_images(found["image"], found["images"], _text(found["alt"], ALT_LONGEST)),
        handle=_text(found["handle"], NAME_MAX),
        url=web_address(_nested(found["url"], "")),
    )


def with_currency(product: Product, code: str | None) -> Product:
    """Return the product with the currency of its site, unless its source states one, even within a price."""
    prices = [product.price, product.price_max, product.compare_at_price]
    prices += [price for one in product.variants for price in (one.price, one.compare_at_price)]
    if not code or not product.price or product.currency or any(price and number(price) is None for price in prices):
        return product
    return replace(product, currency=code)


def _currency(known: Mapping[str, Any]) -> str:
    """Return the currency of the product, of its price, or of the price of a variant."""
    for entry in [known, *(words_of(one) for one in _entries(first(known, NAMES["variants"])) if _keys(one))]:
        for place in (entry, words_of(_keys(first(entry, NAMES["price"])))):
            if code := _text(first(place, NAMES["currency"]), CURRENCY_MAX):
                return code
    return ""


def _variant(entry: Any) -> Variant:
    known = words_of(entry) if isinstance(entry, Mapping) else {}
    choices = first(known, ("choices", "options", "selected_options", "attributes"))
    if choices is None:
        choices = [known.get(f"option{n}") for n in (1, 2, 3)]
    if isinstance(choices, Mapping):
        choices = list(choices.values())
    values = _texts(choices, "", CHOICE_LONGEST, most=OPTIONS_MAX) or _texts(
        first(known, ("title", "name")), "/", CHOICE_LONGEST
    )
    price = _price(first(known, NAMES["price"]))
    return Variant(
        choices=values[:OPTIONS_MAX],
        price=price,
        compare_at_price=_above(_price(first(known, NAMES["compare_at_price"])), price),
        availability=_availability(first(known, NAMES["availability"])),
        sku=_text(known.get("sku"), CHOICE_LONGEST),
        weight=_measure(known, "weight"),
    )


def _range(low: str, high: str, variants: list[Variant]) -> tuple[str, str]:
    """Return the lowest and the highest of all prices. The second is empty if there is only one price."""
    prices = [price for price in (low, high, *(one.price for one in variants)) if price]
    amounts = {price: amount for price in prices if (amount := number(price)) is not None}
    if len(amounts) < len(set(prices)):  # one of them is not a number
        return low or high, high if low and high != low else ""
    lowest, highest = (
        min(amounts, key=amounts.__getitem__, default=""),
        max(amounts, key=amounts.__getitem__, default=""),
    )
    return lowest, highest if lowest and amounts[highest] > amounts[lowest] else ""


def _above(before: str, now: str) -> str:
    """Return the former price, if it is higher than the present one or is not a number."""
    compared, price = number(before), number(now)
    if compared is None or price is None:
        return before if compared is None else ""
    return before if compared > price else ""


def _options(value: Any) -> Iterator[Option]:
    named = value.items() if isinstance(value, Mapping) else ()
    entries = [{"name": name, "values": values} for name, values in named] or _entries(value)
    for entry in entries:
        if isinstance(entry, Mapping):
            values = _texts(first(entry, ("values", "choices", "value")), ",", CHOICE_LONGEST)
            if values:
                yield Option(_text(entry.get("name"), CHOICE_LONGEST), values[:VALUES_MAX])


def _details(value: Any, known: Mapping[str, Any]) -> Iterator[Detail]:
    named = value.items() if isinstance(value, Mapping) else ()
    pairs = [*named, *((entry.get("name"), entry.get("value")) for entry in _entries(value) if "value" in _keys(entry))]
    pairs += [(name, _measure(known, name)) for name in STATED]
    for name, value in pairs:
        if (title := _text(name, CHOICE_LONGEST)) and (text := _text(value, SHORT)):
            yield Detail(title, text)


def _measure(known: Mapping[str, Any], name: str) -> str:
    """Return the measure with its unit. A number without a unit is omitted."""
    unit = _text(known.get(f"{name}_unit"), CURRENCY_MAX)
    value = _price(known.get(name))
    if number(value) is None:
        return _text(known.get(name), SHORT)
    return f"{value} {unit}" if unit and number(value) else ""


def _images(main: Any, others: Any, alt: str) -> tuple[Image, ...]:
    found: dict[str, str] = {}
    for entry in [*_entries(main), *_entries(others)]:
        known = words_of(entry) if isinstance(entry, Mapping) else {"url": entry}
        if url := web_address(_nested(first(known, ("url", "src", "image")), "")):
            found[url] = found.get(url) or _text(first(known, NAMES["alt"]), ALT_LONGEST)
    if found and alt:
        main_url = next(iter(found))
        found[main_url] = found[main_url] or alt
    return tuple(Image(url, text) for url, text in found.items())[:IMAGES_MAX]


def _availability(value: Any) -> Availability:
    word = re.sub("[^a-z]", "", str(value).lower().rpartition("/")[2]) if isinstance(value, str | bool) else ""
    if word in IN_STOCK:
        return "in stock"
    return "out of stock" if word in OUT_OF_STOCK else ""


def _price(value: Any) -> str:
    found = _nested(value, "")
    return plain(int(found) if isinstance(found, float) and found.is_integer() else found, limit=PRICE_MAX)


def _text(value: Any, limit: int) -> str:
    return plain(_nested(value, ", "), limit=limit)


def _texts(value: Any, separators: str, limit: int, *, most: int = ENTRIES_MAX) -> tuple[str, ...]:
    """Return the texts of a list, or the parts of one text."""
    entries = _entries(value)
    if separators and len(entries) == 1 and isinstance(entries[0], str):
        entries = re.split(f"[{separators}]", entries[0])
    return tuple(dict.fromkeys(text for entry in entries[:most] if (text := _text(entry, limit))))


def _nested(value: Any, joint: str) -> Any:
    """Return the scalar in an object, or the joined scalars of a list; None if there is none."""
    if isinstance(value, Mapping):
        value = first(value, NESTED)
    if isinstance(value, list | tuple):
        texts = [str(entry) for entry in value if isinstance(entry, str | int | float)]
        return joint.join(texts) if joint else next(iter(texts), None)
    return value if isinstance(value, str | int | float) else None


def _entries(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _keys(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {}
