"""Products of a site's shop. A site keeps them in catalog V1 or V3; it moves from V1 to V3 once and never back."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urljoin

from anyio import current_time

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.wix_auth import PROVIDER
from blogworker.providers.wix_site import WixSites

Catalog = Literal["V1_CATALOG", "V3_CATALOG"]
V1_KNOWN_S = 86_400.0
V3_FIELDS = ("URL", "PLAIN_DESCRIPTION", "CURRENCY", "MEDIA_ITEMS_INFO")


class Products:
    """Looks products up; remembers which catalog each site has."""

    def __init__(self) -> None:
        self._v3: set[str] = set()
        self._v1_until: dict[str, float] = {}  # on the event loop's clock

    async def get(self, sites: WixSites, instance_id: str, product_id: str) -> dict[str, Any]:
        """A product in the words of `source_data`. Raises Rejected when it is gone."""
        catalog = await self._catalog(sites, instance_id)
        path = f"/stores/v3/products/{quote(product_id, safe='')}"
        params: dict[str, tuple[str, ...]] | None = {"fields": V3_FIELDS}
        if catalog == "V1_CATALOG":
            path, params = f"/stores-reader/v1/products/{quote(product_id, safe='')}", None
        try:
            product = (await sites.get(instance_id, path, params=params)).get("product")
        except Unavailable as error:
            if error.status == 428:  # the site has moved to V3 since we asked
                self._v1_until.pop(instance_id, None)
            raise
        except Rejected as error:
            if error.status != 404:
                raise
            raise Rejected(
                f"product {product_id} is not in the site's shop", provider=PROVIDER, status=404, code="no_product"
            ) from error
        if not isinstance(product, dict):
            raise Unavailable("the answer holds no product", provider=PROVIDER, code="unreadable")
        return _of_v1(product) if catalog == "V1_CATALOG" else _of_v3(product)

    async def _catalog(self, sites: WixSites, instance_id: str) -> Catalog:
        if instance_id in self._v3:
            return "V3_CATALOG"
        if self._v1_until.get(instance_id, 0.0) > current_time():
            return "V1_CATALOG"
        version = (await sites.get(instance_id, "/stores/v3/provision/version")).get("catalogVersion")
        match version:
            case "V3_CATALOG":
                self._v3.add(instance_id)
                return "V3_CATALOG"
            case "V1_CATALOG":
                self._v1_until[instance_id] = current_time() + V1_KNOWN_S
                return "V1_CATALOG"
            case _:
                raise SiteUnavailable("the site has no shop", provider=PROVIDER, code=str(version))


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
