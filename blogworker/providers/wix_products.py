"""Products of a site's shop. A site keeps them in catalog V1 or V3; it moves from V1 to V3 once and never back."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urljoin

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.wix_auth import PROVIDER
from blogworker.providers.wix_site import WixSites

Catalog = Literal["V1_CATALOG", "V3_CATALOG"]
V3_FIELDS = ("URL", "PLAIN_DESCRIPTION", "CURRENCY", "MEDIA_ITEMS_INFO")
OTHER_CATALOG = 428  # the status where a product is asked for in the catalog that the site does not have


async def catalog_of(sites: WixSites, instance_id: str) -> Catalog:
    """Which catalog the site has. Raises SiteUnavailable without a shop."""
    version = (await sites.get(instance_id, "/stores/v3/provision/version")).get("catalogVersion")
    if version == "V1_CATALOG":
        return "V1_CATALOG"
    if version == "V3_CATALOG":
        return "V3_CATALOG"
    raise SiteUnavailable("the site has no shop", provider=PROVIDER, code=str(version))


async def product_of(sites: WixSites, instance_id: str, product_id: str, *, catalog: Catalog) -> dict[str, Any]:
    """A product in the words of `source_data`. Raises Rejected when it is gone."""
    path = f"/stores/v3/products/{quote(product_id, safe='')}"
    params: dict[str, tuple[str, ...]] | None = {"fields": V3_FIELDS}
    if catalog == "V1_CATALOG":
        path, params = f"/stores-reader/v1/products/{quote(product_id, safe='')}", None
    try:
        product = (await sites.get(instance_id, path, params=params)).get("product")
    except Rejected as error:
        if error.status != 404:
            raise
        raise Rejected(
            f"product {product_id} is not in the site's shop", provider=PROVIDER, status=404, code="no_product"
        ) from error
    if not isinstance(product, dict):
        raise Unavailable("the answer holds no product", provider=PROVIDER, code="unreadable")
    return _of_v1(product) if catalog == "V1_CATALOG" else _of_v3(product)


def _of_v3(product: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": product.get("name"),
        "description": product.get("plainDescription"),
        "price": _at(product, "actualPriceRange", "minValue", "amount"),
        "currency": product.get("currency"),
        "vendor": _at(product, "brand", "name"),
        "url": _at(product, "url", "url"),
        "image": _address(_at(product, "media", "main", "image")),
    }


def _of_v1(product: Mapping[str, Any]) -> dict[str, Any]:
    base, path = _at(product, "productPageUrl", "base"), _at(product, "productPageUrl", "path")
    return {
        "name": product.get("name"),
        "description": product.get("description"),
        "price": _at(product, "priceData", "discountedPrice") or _at(product, "priceData", "price"),
        "currency": _at(product, "priceData", "currency"),
        "vendor": product.get("brand"),
        "url": urljoin(str(base), str(path or "")) if base else None,
        "image": _address(_at(product, "media", "mainMedia", "image")),
    }


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _address(image: Any) -> str | None:
    """A picture is given as its address or as an object that holds it."""
    found = image.get("url") if isinstance(image, Mapping) else image
    return found if isinstance(found, str) else None
