"""The products of a site, in catalog V1 or V3."""

from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.wix.errors import application_error, not_found
from blogworker.simulator.wix.products import PRODUCTS, Product
from blogworker.simulator.wix.query import run_query
from blogworker.simulator.wix.sites import Site
from blogworker.simulator.wix.state import WixState

FILTERS = frozenset({"id", "name", "slug", "visible", "productType"})
V3_OPTIONAL_FIELDS = {
    "URL": "url", "PLAIN_DESCRIPTION": "plainDescription", "CURRENCY": "currency",
}  # fmt: skip


class Stores:
    """The handlers of both catalogs. A site has only one of them."""

    def __init__(self, state: WixState) -> None:
        self._state = state

    async def version(self, call: Call) -> Response:
        found = "STORES_NOT_INSTALLED" if call.has_fault("stores_missing") else self._state.site(call).catalog
        return JSONResponse({"catalogVersion": found})

    async def get_v3(self, call: Call) -> Response:
        site = self._site_with_catalog("V3_CATALOG", call)
        fields = frozenset(call.request.query_params.getlist("fields"))
        return JSONResponse({"product": _v3(site, _find_product(call, site), fields)})

    async def query_v3(self, call: Call) -> Response:
        site, body = self._site_with_catalog("V3_CATALOG", call), call.json if isinstance(call.json, dict) else {}
        fields = frozenset(body.get("fields") or ())
        rows, metadata = run_query(
            [_v3(site, p, fields) for p in PRODUCTS], body.get("query") or body.get("search"), FILTERS
        )
        return JSONResponse({"products": list(rows), "pagingMetadata": metadata})

    async def get_v1(self, call: Call) -> Response:
        site = self._site_with_catalog("V1_CATALOG", call)
        return JSONResponse({"product": _v1(site, _find_product(call, site))})

    async def query_v1(self, call: Call) -> Response:
        site, body = self._site_with_catalog("V1_CATALOG", call), call.json if isinstance(call.json, dict) else {}
        rows, metadata = run_query([_v1(site, p) for p in PRODUCTS], body.get("query"), FILTERS)
        return JSONResponse({"products": list(rows), "metadata": metadata, "totalResults": len(PRODUCTS)})

    def _site_with_catalog(self, catalog: str, call: Call) -> Site:
        if call.has_fault("stores_missing"):
            raise application_error(428, "STORES_NOT_INSTALLED", "Wix Stores app is not installed on the site")
        site = self._state.site(call)
        if site.catalog != catalog:
            have, wanted = site.catalog[:2], catalog[:2]
            code = f"CATALOG_{have}_SITE_CALLING_CATALOG_{wanted}_API"
            raise application_error(428, code, f"The site uses catalog {have}")
        return site


def product_id(site: Site, product: Product) -> str:
    return site.stable_id(f"product/{product.slug}")


def _find_product(call: Call, site: Site) -> Product:
    params = call.request.path_params
    for product in PRODUCTS:
        if product.slug == params.get("slug") or product_id(site, product) == params.get("id"):
            return product
    raise not_found("Product")


def _v3(site: Site, product: Product, fields: frozenset[str]) -> dict[str, Any]:
    path = f"/product-page/{product.slug}"
    amount = {"amount": product.price, "formattedAmount": f"${product.price}"}
    media_id = site.stable_id(f"media/{product.slug}")
    found = {
        "id": product_id(site, product),
        "revision": "1",
        "name": product.name,
        "slug": product.slug,
        "visible": True,
        "productType": "PHYSICAL",
        "url": {"relativePath": path, "url": f"{site.base_url}{path}"},
        "plainDescription": product.description,
        "currency": "USD",
        "brand": {"id": site.stable_id(f"brand/{product.brand}"), "name": product.brand},
        "actualPriceRange": {"minValue": amount, "maxValue": amount},
        "media": {"main": {"id": media_id, "mediaType": "IMAGE", "altText": product.name}},
    }
    if product.ribbon:
        found["ribbon"] = {"id": site.stable_id(f"ribbon/{product.ribbon}"), "name": product.ribbon}
    return {name: value for name, value in found.items() if _is_requested(name, fields)}


def _is_requested(name: str, fields: frozenset[str]) -> bool:
    """Whether a field is always returned, or named in the request."""
    return name not in V3_OPTIONAL_FIELDS.values() or any(V3_OPTIONAL_FIELDS.get(field) == name for field in fields)


def _v1(site: Site, product: Product) -> dict[str, Any]:
    price = float(product.price)
    formatted = {"price": f"${product.price}", "discountedPrice": f"${product.price}"}
    return {
        "id": product_id(site, product),
        "name": product.name,
        "slug": product.slug,
        "visible": True,
        "productType": "physical",
        "description": product.description,
        "sku": product.slug[:12].upper(),
        "stock": {"trackInventory": False, "inStock": True, "inventoryStatus": "IN_STOCK"},
        "priceData": {"currency": "USD", "price": price, "discountedPrice": price, "formatted": formatted},
        "media": {"mainMedia": {"mediaType": "image", "title": product.name}, "items": []},
        "ribbon": product.ribbon,
        "brand": product.brand,
        "productPageUrl": {"base": f"{site.base_url}/", "path": f"/product-page/{product.slug}"},
    }
