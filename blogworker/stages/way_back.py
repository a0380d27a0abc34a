"""The link from a post back to its product: the product's own address, else the site's template filled in, else none.

No address is guessed. Where there is none, `no_link` of the source says why, for people; no model reads it.
"""

import re
from collections.abc import Mapping
from typing import Any

from blogworker.post.product_url import NO_ADDRESS, checked_template, filled, for_learnt, learnt
from blogworker.post.site import usable
from blogworker.stages.work import Output, Work

LEARNT_S = 90 * 86_400.0  # each product that is read from the shop renews it


async def with_link(work: Work, data: Mapping[str, Any], source: Output) -> Output:
    """The source of a product with its `url`, or with `no_link`. `data`: what a producer or the shop sent."""
    if source.get("kind") != "product" or source.get("url"):
        return source
    words = {re.sub(r"\s+", "_", str(key).strip().lower()): value for key, value in data.items()}
    template = usable(work.claim.site).product_url
    if template is None and for_learnt(words, name=str(source.get("name") or "")):
        template = await _remembered(work)
    if template is None:
        return {**source, "no_link": NO_ADDRESS}
    url, fault = filled(template, words, work.claim.source_id)
    return {**source, "url": url} if url else {**source, "no_link": fault}


async def learn(work: Work, product: Mapping[str, Any]) -> None:
    """Remember how the shop addresses its products, for products of the same site that come from files. `product`: as
    the shop told it."""
    if (template := learnt(product.get("url"), product.get("handle"))) is not None:
        await work.cache.remember(_key(work), template, ttl_s=LEARNT_S)


async def _remembered(work: Work) -> str | None:
    found = await work.cache.recall(_key(work))
    try:
        return checked_template(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _key(work: Work) -> str:
    return f"product_url/{work.claim.instance_id}"
