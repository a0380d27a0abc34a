"""Stage 1: bring what the post is about into one clean shape, whatever a producer or a shop has sent.

keyword   a search phrase
text      the owner's own notes
product   a product of the shop: given in the row, or read from the shop of the site if the row has only its id
"""

import json
from collections.abc import Mapping
from typing import Any

from blogworker.db.storable import storable
from blogworker.errors import ProviderError, RateLimited, Rejected
from blogworker.post.defects import without_placeholders
from blogworker.post.plain import cut, plain, plain_lines
from blogworker.post.site import usable
from blogworker.printable import is_visible
from blogworker.providers.wix.auth import PROVIDER
from blogworker.providers.wix.client import WixClient
from blogworker.providers.wix.products import OTHER_CATALOG, Catalog
from blogworker.stages.material import material
from blogworker.stages.product_data import NAMES as PRODUCT_NAMES
from blogworker.stages.product_data import first, read_product, with_currency, words_of
from blogworker.stages.product_facts import facts
from blogworker.stages.product_link import learn, with_link
from blogworker.stages.records import Output, Source
from blogworker.stages.work import Work

NAMES = {  # our key -> the keys that producers use for it, the most reliable first
    "keyword": ("keyword", "keywords", "topic", "query"),
    "text": ("text", "notes", "content"),
}
KEYWORD_MAX, TEXT_MAX = 200, 12_000
MATERIAL_MAX = 14_000  # characters of JSON
TEXT_LEAST = 500
OMITTED_FIRST = ("pictures", "variants", "options", "details", "tags")  # in order, where the material is too long
NOT_CLEANED = ("kind", "product_id", "url", "image", "handle")
PROSE = frozenset({"description", "text"})  # made of sentences
V1_CACHED_S = 86_400.0  # a site may move from V1 to V3, and never back


async def run(work: Work) -> Source:
    claim = work.claim
    data: Mapping[str, Any] = claim.source_data
    if claim.source_type == "product" and not _has_product(data):
        data = {**data, **await _from_shop(work)}
    site = usable(claim.site)
    source = normalised(claim.source_type, claim.source_id, data, currency=site.currency)
    return Source.load({**await with_link(work, data, source), "site": site.facts()})


def normalised(kind: str, source_id: str | None, data: Mapping[str, Any], *, currency: str | None = None) -> Output:
    """Return the facts of a source under our keys. Raises Rejected, with a message for the producer, when there is
    nothing to write about. `currency`: of the site."""
    product = read_product(data)
    if kind == "product":
        product = with_currency(product, currency)
    known = words_of(data)
    keyword, text = (first(known, names) for names in NAMES.values())
    source: Output = {"kind": kind, "product_id": source_id if kind == "product" else None, **facts(product)}
    source["keyword"] = plain(", ".join(map(str, keyword)) if isinstance(keyword, list) else keyword, limit=KEYWORD_MAX)
    source["text"] = plain_lines("\n".join(map(str, text)) if isinstance(text, list) else text, limit=TEXT_MAX)
    if kind == "keyword" and not source["keyword"]:
        source["keyword"] = plain(source_id, limit=KEYWORD_MAX)
    if kind == "text" and not source["text"]:
        source["text"], source["description"] = source["description"], ""
    source = {
        word: value if word in NOT_CLEANED else _without_tags(value, prose=word in PROSE)
        for word, value in source.items()
    }
    needed = {"keyword": "keyword", "text": "text", "product": "name"}.get(kind)
    if needed is None:
        raise _unusable(f"source_type {kind!r} is not keyword, product or text")
    if not is_visible(source[needed]):
        raise _unusable(f"source_data of this {kind} has no {needed}: add it and retry the job")
    return _truncated(source)


def _truncated(source: Output) -> Output:
    """Return the source with at most MATERIAL_MAX characters for the model: first long texts are truncated, then lists
    are omitted."""
    texts = ("text", "description") if source["kind"] == "product" else ("description", "text")
    for word in texts:
        room = MATERIAL_MAX - _size({**source, word: ""})
        source = {**source, word: cut(source[word], max(TEXT_LEAST, room))}
    for word in OMITTED_FIRST:
        if _size(source) > MATERIAL_MAX:
            source = {**source, word: []}
    return source


def _size(source: Output) -> int:
    return len(json.dumps(material(source), ensure_ascii=False))


def _has_product(data: Mapping[str, Any]) -> bool:
    """Whether the data names the product. The SQL function needs_shop says the same."""
    named = (value for key, value in data.items() if key.strip().lower() in PRODUCT_NAMES["name"])
    return any(value is not None and value != "" for value in named)


async def _from_shop(work: Work) -> dict[str, Any]:
    claim = work.claim
    if not claim.source_id:
        raise _unusable("this product has neither source_data.name nor a source_id: add one and retry the job")
    if work.clients.wix is None:
        raise _unusable(
            f"product {claim.source_id} has no source_data and there are no Wix credentials to read it from the shop: "
            "enqueue it with its name and description, or set WIX_APP_ID and WIX_APP_SECRET"
        )
    key = f"product/{claim.instance_id}/{claim.source_id}"
    if (known := await work.cache.recall(key)) is not None:
        return dict(known)
    async with work.breakers.guarding(PROVIDER, site=work.claim.instance_id, secondary=True):
        product: dict[str, Any] = storable(await _read(work, work.clients.wix, claim.source_id))
    await work.cache.remember(key, product, ttl_s=work.cache.product_s)
    await learn(work, product)
    return product


async def _read(work: Work, wix: WixClient, product_id: str) -> dict[str, Any]:
    """Return the product as the shop has it now. If the shop has moved to the other catalog version, read it there."""
    site = work.claim.instance_id
    known, catalog = await _catalog(work, wix)
    try:
        return await wix.product(site, product_id, catalog=catalog)
    except ProviderError as error:
        if error.status != OTHER_CATALOG:
            raise
        await work.cache.forget(f"catalog/{site}")
        if not known or isinstance(error, RateLimited):
            raise  # the version was read just now, or the shop is still being set up: the next attempt reads it again
    _, catalog = await _catalog(work, wix)
    return await wix.product(site, product_id, catalog=catalog)


async def _catalog(work: Work, wix: WixClient) -> tuple[bool, Catalog]:
    """Return whether the catalog version of the shop was cached, and the version."""
    key = f"catalog/{work.claim.instance_id}"
    if (known := await work.cache.recall(key)) is not None:
        return True, known
    catalog = await wix.catalog(work.claim.instance_id)
    await work.cache.remember(key, catalog, ttl_s=V1_CACHED_S if catalog == "V1_CATALOG" else None)
    return False, catalog


def _without_tags(value: Any, *, prose: bool) -> Any:
    """Return the value without the template tags of a shop: a model that keeps to its source would publish them."""
    if isinstance(value, list):
        return [words for entry in value if (words := _without_tags(entry, prose=prose))]
    if not isinstance(value, str):
        return value
    return "\n".join(words for line in value.split("\n") if (words := without_placeholders(line, prose=prose)))


def _unusable(message: str) -> Rejected:
    return Rejected(message, provider="source", code="unusable_source")
