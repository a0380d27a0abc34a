"""The facts of a product in the short form that a model reads."""

from typing import Any

from blogworker.product import Product, Variant, number

ALTS_MAX = 5
OPTION_LONGEST, VARIANT_LONGEST = 300, 140


def facts(product: Product) -> dict[str, Any]:
    """Return each fact under its name. An unknown fact is empty."""
    return {
        "name": product.name,
        "description": product.description,
        "price": _range(product),
        "compare_at_price": _before(product),
        "discount": product.discount,
        "currency": product.currency,
        "availability": product.availability,
        "options": [_option(option.name, option.values) for option in product.options],
        "variants": [_variant(variant)[:VARIANT_LONGEST] for variant in product.variants],
        "sku": product.sku,
        "vendor": product.vendor,
        "product_type": ", ".join(product.categories),
        "tags": list(product.tags),
        "details": [f"{detail.name}: {detail.value}" for detail in product.details],
        "pictures": [image.alt for image in product.images if image.alt][:ALTS_MAX],
        "url": product.url,
        "image": product.images[0].url if product.images else "",
        "handle": product.handle,
    }


def _range(product: Product) -> str:
    return f"{product.price} to {product.price_max}" if product.price_max else product.price


def _before(product: Product) -> str:
    """Return the former price. With a price range, only if it is above the whole range and no variant shows its own."""
    before, highest = number(product.compare_at_price), number(product.price_max)
    if product.price_max and (before is None or highest is None or before <= highest):
        return ""
    return (
        "" if product.price_max and any(one.compare_at_price for one in product.variants) else product.compare_at_price
    )


def _option(name: str, values: tuple[str, ...]) -> str:
    kept = list(values)
    while len(", ".join(kept)) > OPTION_LONGEST:
        kept.pop()
    listed = ", ".join(kept) + (" and more" if len(kept) < len(values) else "")
    return f"{name}: {listed}" if name else listed


def _variant(variant: Variant) -> str:
    before = f"before {variant.compare_at_price}" if variant.compare_at_price else ""
    facts = filter(None, [variant.price, before, variant.weight, variant.availability])
    return f"{' / '.join(variant.choices)}: {', '.join(facts)}".removesuffix(": ")
