"""Reads a product of the old catalog (V1) or the new one (V3) of a shop. Absent and invalid values are ignored."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

from blogworker.product import (
    IMAGES_MAX,
    OPTIONS_MAX,
    VALUES_MAX,
    Availability,
    Detail,
    Image,
    Option,
    Product,
    Variant,
    distinct_variants,
    former_price,
    number,
)
from blogworker.providers.answer import at, code, objects, text
from blogworker.readable import readable, shortened

LARGEST_NUMBER = 1e15
NAME_LONGEST, DESCRIPTION_LONGEST, SHORT = 500, 12_000, 120
CATEGORIES_MAX, SECTIONS_MAX = 6, 8
AVAILABLE: dict[str, Availability] = {
    "IN_STOCK": "in stock",
    "PARTIALLY_OUT_OF_STOCK": "in stock",
    "OUT_OF_STOCK": "out of stock",
}


def of_v3(product: Mapping[str, Any]) -> Product:
    low = _amount(at(product, "actualPriceRange", "minValue", "amount"))
    high = _amount(at(product, "actualPriceRange", "maxValue", "amount"))
    before = _amount(at(product, "compareAtPriceRange", "minValue", "amount"))
    variants = list(_variants_of_v3(product))
    first: Mapping[str, Any] = next(iter(objects(at(product, "variantsInfo", "variants"))), {})
    options = [
        Option(_short(option.get("name")), _choices(at(option, "choicesSettings", "choices"), "name"))
        for option in objects(product.get("options"))
    ]
    crumbs = [_short(crumb.get("categoryName")) for crumb in objects(at(product, "breadcrumbsInfo", "breadcrumbs"))]
    return replace(
        _worded(product, objects(product.get("infoSections")), words="plainDescription"),
        price=low,
        price_max=_higher(high, low),
        compare_at_price=former_price(variants, low=low, stated=_higher(before, low)),
        currency=_short(product.get("currency")),
        availability=AVAILABLE.get(code(at(product, "inventory", "availabilityStatus")) or "", ""),
        options=_bounded(options),
        variants=distinct_variants(variants),
        sku=_short(first.get("sku")),
        vendor=_short(at(product, "brand", "name")),
        categories=tuple(dict.fromkeys(filter(None, crumbs)))[:CATEGORIES_MAX],
        details=_weight_of_v3(product),
        images=_images(at(product, "media", "main"), at(product, "media", "itemsInfo", "items")),
        url=text(at(product, "url", "url")) or "",
    )


def of_v1(product: Mapping[str, Any]) -> Product:
    full, now = _amount(at(product, "priceData", "price")), _amount(at(product, "priceData", "discountedPrice"))
    variants = list(_variants_of_v1(product))
    prices = [
        price for price in (_amount(at(product, "priceRange", "maxValue")), *(one.price for one in variants)) if price
    ]
    if now and _higher(full, now):  # the range does not include the discount
        prices = [one.price for one in variants if one.price]
    low = min([now or full, *prices], key=_number) if now or full else min(prices, key=_number, default="")
    options = [
        Option(_short(option.get("name")), _choices(option.get("choices"), "description", "value"))
        for option in objects(product.get("productOptions"))
    ]
    base, path = at(product, "productPageUrl", "base"), at(product, "productPageUrl", "path")
    return replace(
        _worded(product, objects(product.get("additionalInfoSections")), words="description"),
        price=low,
        price_max=_higher(max(prices, key=_number, default=""), low),
        compare_at_price=former_price(variants, low=low, stated=_higher(full, low)),
        currency=_short(at(product, "priceData", "currency")),
        availability=_stock(product.get("stock")),
        options=_bounded(options),
        variants=distinct_variants(variants),
        sku=_short(product.get("sku")),
        vendor=_short(product.get("brand")),
        images=_images(at(product, "media", "mainMedia"), at(product, "media", "items")),
        url=_joined(text(base), text(path)),
    )


def _worded(product: Mapping[str, Any], sections: list[dict[str, Any]], *, words: str) -> Product:
    """Return a product with its name and its description, including sections such as care or materials."""
    lines = [readable(text(product.get(words)) or "", longest=DESCRIPTION_LONGEST)]
    for section in sections[:SECTIONS_MAX]:
        if content := readable(text(section.get(words)) or "", longest=DESCRIPTION_LONGEST):
            title = _short(section.get("title"))
            lines.append(f"{title}: {content}" if title else content)
    return Product(
        name=(text(product.get("name")) or "")[:NAME_LONGEST],
        description=shortened("\n".join(filter(None, lines)), DESCRIPTION_LONGEST),
        handle=_short(product.get("slug")),
    )


def _variants_of_v3(product: Mapping[str, Any]) -> Iterator[Variant]:
    options = {option.get("id"): option for option in objects(product.get("options")) if code(option.get("id"))}
    unit = _unit_of_v3(product)
    for variant in objects(at(product, "variantsInfo", "variants")):
        names = [_choice_of_v3(choice, options) for choice in objects(variant.get("choices"))]
        price = _amount(at(variant, "price", "actualPrice", "amount"))
        weight = _amount(at(variant, "physicalProperties", "weight"))
        in_stock = at(variant, "inventoryStatus", "inStock")
        if variant.get("visible") is not False and (choices := tuple(filter(None, names))):
            yield Variant(
                choices=choices[:OPTIONS_MAX],
                price=price,
                compare_at_price=_higher(_amount(at(variant, "price", "compareAtPrice", "amount")), price),
                availability=_stock({"inStock": in_stock}),
                sku=_short(variant.get("sku")),
                weight=f"{weight} {unit}" if unit and _number(weight) else "",
            )


def _choice_of_v3(choice: Mapping[str, Any], options: Mapping[Any, Mapping[str, Any]]) -> str:
    """Return the name of a variant's choice, from the choice itself or by its id."""
    if named := _short(at(choice, "optionChoiceNames", "choiceName")):
        return named
    option, wanted = (code(at(choice, "optionChoiceIds", name)) for name in ("optionId", "choiceId"))
    known = objects(at(options.get(option), "choicesSettings", "choices"))
    return next((_short(one.get("name")) for one in known if wanted and code(one.get("choiceId")) == wanted), "")


def _variants_of_v1(product: Mapping[str, Any]) -> Iterator[Variant]:
    for entry in objects(product.get("variants")):
        choices, details = entry.get("choices"), entry.get("variant")
        named = tuple(filter(None, map(_short, choices.values()))) if isinstance(choices, Mapping) else ()
        full, now = _amount(at(details, "priceData", "price")), _amount(at(details, "priceData", "discountedPrice"))
        if named and at(details, "visible") is not False:
            yield Variant(
                choices=named[:OPTIONS_MAX],
                price=now or full,
                compare_at_price=_higher(full, now),
                availability=_stock(entry.get("stock")),
                sku=_short(at(details, "sku")),
            )


def _higher(amount: str, other: str) -> str:
    """Return the amount if it is higher than the other."""
    return amount if amount and other and _number(amount) > _number(other) else ""


def _stock(stock: Any) -> Availability:
    status = AVAILABLE.get(code(at(stock, "inventoryStatus")) or "", "")
    in_stock = at(stock, "inStock")
    if status or not isinstance(in_stock, bool):
        return status
    return "in stock" if in_stock else "out of stock"


def _unit_of_v3(product: Mapping[str, Any]) -> str:
    properties = product.get("physicalProperties")
    info = at(properties, "weightMeasurementUnitInfo", "weightMeasurementUnit")
    unit = code(info) or code(at(properties, "weightMeasurementUnit")) or ""
    return unit.lower() if unit in ("KG", "LB") else ""


def _weight_of_v3(product: Mapping[str, Any]) -> tuple[Detail, ...]:
    weights = at(product, "physicalProperties", "shippingWeightRange")
    low, high, unit = _amount(at(weights, "minValue")), _amount(at(weights, "maxValue")), _unit_of_v3(product)
    if not unit or not low or not _number(low):
        return ()
    return (Detail("weight", f"{low} to {high} {unit}" if _higher(high, low) else f"{low} {unit}"),)


def _choices(choices: Any, *names: str) -> tuple[str, ...]:
    seen = [choice for choice in objects(choices) if choice.get("visible") is not False]
    found = (next(filter(None, (_short(choice.get(name)) for name in names)), "") for choice in seen)
    return tuple(dict.fromkeys(filter(None, found)))[:VALUES_MAX]


def _bounded(options: list[Option]) -> tuple[Option, ...]:
    return tuple(option for option in options if option.values)[:OPTIONS_MAX]


def _images(main: Any, others: Any) -> tuple[Image, ...]:
    """Read pictures. A picture is an address, or an object with one. The alternative text is in it or next to it."""
    found: dict[str, str] = {}
    for item in objects(main) + objects(others):
        image = item.get("image")
        url = text(image.get("url") if isinstance(image, Mapping) else image)
        if url is not None:
            alt = _short(item.get("altText")) or _short(at(image, "altText"))
            found[url] = found.get(url) or alt
    return tuple(Image(url, alt) for url, alt in found.items())[:IMAGES_MAX]


def _short(value: Any) -> str:
    return (text(value) or "").strip()[:SHORT].strip()


def _amount(value: Any) -> str:
    """Return a plausible number, or the text of one, as plain digits."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER:
        return f"{value:f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    written = _short(value)
    amount = number(written)
    return written if amount is not None and 0 <= amount < LARGEST_NUMBER and written.replace(".", "").isdigit() else ""


def _number(amount: str) -> float:
    return float(number(amount) or 0)


def _joined(base: str | None, path: str | None) -> str:
    try:
        return urljoin(base, path or "") if base else ""
    except ValueError:  # such as a host in square brackets that is not an address
        return ""
