"""Products of a site's shop. A site keeps them in catalog V1 or V3; it moves from V1 to V3 once and never back."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urljoin

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.answer import at, code, text
from blogworker.providers.wix_auth import PROVIDER, UNREADABLE
from blogworker.providers.wix_site import WixSites

Catalog = Literal["V1_CATALOG", "V3_CATALOG"]
V3_FIELDS = ("URL", "PLAIN_DESCRIPTION", "CURRENCY", "MEDIA_ITEMS_INFO")
LARGEST_NUMBER = 1e15
OTHER_CATALOG = 428  # the status where a product is asked for in the catalog that the site does not have


async def catalog_of(sites: WixSites, instance_id: str) -> Catalog:
    """Which catalog the site has. Raises SiteUnavailable without a shop."""
    return catalog_in(await sites.get(instance_id, "/stores/v3/provision/version"))


def catalog_in(answer: Mapping[str, Any]) -> Catalog:
    """Raises Unavailable for an unknown version, which does not say whether there is a shop."""
    version = code(answer.get("catalogVersion"))
    if version == "V1_CATALOG":
        return "V1_CATALOG"
    if version == "V3_CATALOG":
        return "V3_CATALOG"
    if version is not None and version.endswith("NOT_INSTALLED"):
        raise SiteUnavailable("the site has no shop", provider=PROVIDER, code=version)
    raise Unavailable("the shop has an unknown catalog version", provider=PROVIDER, code=version or "unreadable")


async def product_of(sites: WixSites, instance_id: str, product_id: str, *, catalog: Catalog) -> dict[str, Any]:
    """A product in the words of `source_data`. Raises Rejected when it is gone."""
    path = f"/stores/v3/products/{quote(product_id, safe='')}"
    params: dict[str, tuple[str, ...]] | None = {"fields": V3_FIELDS}
    if catalog == "V1_CATALOG":
        path, params = f"/stores-reader/v1/products/{quote(product_id, safe='')}", None
    try:
        answer = await sites.get(instance_id, path, params=params)
    except Rejected as error:
        if error.status != 404:
            raise
        raise Rejected(
            f"product {product_id} is not in the site's shop", provider=PROVIDER, status=404, code="no_product"
        ) from error
    return product_in(answer, catalog=catalog)


def product_in(answer: Mapping[str, Any], *, catalog: Catalog) -> dict[str, Any]:
    product = answer.get("product")
    if not isinstance(product, dict):
        raise Unavailable("the answer holds no product", provider=PROVIDER, code=UNREADABLE)
    told = _of_v1(product) if catalog == "V1_CATALOG" else _of_v3(product)
    return {name: _usable(value) for name, value in told.items()}


def _usable(value: Any) -> str | float | None:
    """A text or a plausible number, unchanged; None for anything else."""
    if isinstance(value, str):
        return text(value)
    found: float | None = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return found if found is not None and abs(found) < LARGEST_NUMBER else None


def _of_v3(product: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": product.get("name"),
        "description": product.get("plainDescription"),
        "price": at(product, "actualPriceRange", "minValue", "amount"),
        "currency": product.get("currency"),
        "vendor": at(product, "brand", "name"),
        "url": at(product, "url", "url"),
        "image": _address(at(product, "media", "main", "image")),
    }


def _of_v1(product: Mapping[str, Any]) -> dict[str, Any]:
    base, path = at(product, "productPageUrl", "base"), at(product, "productPageUrl", "path")
    return {
        "name": product.get("name"),
        "description": product.get("description"),
        "price": at(product, "priceData", "discountedPrice") or at(product, "priceData", "price"),
        "currency": at(product, "priceData", "currency"),
        "vendor": product.get("brand"),
        "url": _joined(text(base), text(path)),
        "image": _address(at(product, "media", "mainMedia", "image")),
    }


def _joined(base: str | None, path: str | None) -> str | None:
    try:
        return urljoin(base, path or "") if base else None
    except ValueError:  # such as a host in square brackets that is not an address
        return None


def _address(image: Any) -> str | None:
    """A picture is given as its address or as an object that holds it."""
    found = image.get("url") if isinstance(image, Mapping) else image
    return found if isinstance(found, str) else None
