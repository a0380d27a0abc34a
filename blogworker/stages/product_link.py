"""The link from a post to its product: the address of the product, else the template of the site with values filled in.

No address is guessed. If there is no address, `no_link` of the source says why. It is for people, no model reads it.
"""

import re
from collections.abc import Mapping
from typing import Any

from blogworker.post.product_url import NO_ADDRESS, checked_template, filled, for_learnt, learnt
from blogworker.post.site import usable
from blogworker.stages.records import Output
from blogworker.stages.work import Work

LEARNT_S = 90 * 86_400.0  # renewed by each product that is read from the shop


async def with_link(work: Work, data: Mapping[str, Any], source: Output) -> Output:
    """Return the source, for a product with `url` or `no_link`. `data`: what a producer or the shop has sent."""
    if source.get("kind") != "product" or source.get("url"):
        return source
    words = {re.sub(r"\s+", "_", str(key).strip().lower()): value for key, value in data.items()}
    template = usable(work.claim.site).product_url
    if template is None and for_learnt(words, name=str(source.get("name") or "")):
        template = await _cached_template(work)
    if template is None:
        return {**source, "no_link": NO_ADDRESS}
    url, fault = filled(template, words, work.claim.source_id)
    return {**source, "url": url} if url else {**source, "no_link": fault}


async def learn(work: Work, product: Mapping[str, Any]) -> None:
    """Cache how the shop builds the addresses of its products, for products of the same site that come from files.
    `product`: as the shop has sent it."""
    if (template := learnt(product.get("url"), product.get("handle"))) is not None:
        await work.cache.remember(_key(work), template, ttl_s=LEARNT_S)


async def _cached_template(work: Work) -> str | None:
    found = await work.cache.recall(_key(work))
    try:
        return checked_template(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _key(work: Work) -> str:
    return f"product_url/{work.claim.instance_id}"
