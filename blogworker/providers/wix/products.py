"""Products of the shop of a site. A site has catalog V1 or V3. It can migrate from V1 to V3, but not back."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.answer import code
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.catalogs import of_v1, of_v3
from blogworker.providers.wix.site import WixSites

Catalog = Literal["V1_CATALOG", "V3_CATALOG"]
V3_FIELDS = (  # Wix refuses a call with an unknown field
    "URL", "PLAIN_DESCRIPTION", "CURRENCY", "MEDIA_ITEMS_INFO", "INFO_SECTION", "INFO_SECTION_PLAIN_DESCRIPTION",
    "BREADCRUMBS_INFO", "VARIANT_OPTION_CHOICE_NAMES", "WEIGHT_MEASUREMENT_UNIT_INFO",
)  # fmt: skip
OTHER_CATALOG = 428  # the status of a request for the catalog that the site does not have


async def catalog_of(sites: WixSites, instance_id: str) -> Catalog:
    """Return which catalog the site has. Raises SiteUnavailable without a shop."""
    return catalog_in(await sites.get(instance_id, "/stores/v3/provision/version"))


def catalog_in(answer: Mapping[str, Any]) -> Catalog:
    """Return the catalog version. Raises Unavailable for an unknown one: it may or may not mean a shop."""
    version = code(answer.get("catalogVersion"))
    if version == "V1_CATALOG":
        return "V1_CATALOG"
    if version == "V3_CATALOG":
        return "V3_CATALOG"
    if version is not None and version.endswith("NOT_INSTALLED"):
        raise SiteUnavailable("the site has no shop", provider=PROVIDER, code=version)
    raise Unavailable("the shop has an unknown catalog version", provider=PROVIDER, code=version or "unreadable")


async def product_of(sites: WixSites, instance_id: str, product_id: str, *, catalog: Catalog) -> dict[str, Any]:
    """Return a product in the format of `source_data`. Raises Rejected if it does not exist."""
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
        raise Unavailable("the response has no product", provider=PROVIDER, code=UNREADABLE)
    read = of_v1 if catalog == "V1_CATALOG" else of_v3
    return read(product).as_data()
