"""Choose the categories of a post among those that the owner has created in the blog of the site.

A category matches a post if its label is a tag of the post or a category of its product, or if the words of the label
are in a tag, in a keyword or in the name of the product. Labels are compared like tags: `Mugs` equals `mug`, in any
language.

If the list of categories cannot be read, this is logged and the post gets no category. Wix ignores the ids of
categories that were deleted in the meantime.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from blogworker.errors import Misconfigured, Rejected, SiteUnavailable, Unavailable
from blogworker.post.render import UNSPACED
from blogworker.post.tags import tag_key
from blogworker.providers.wix.client import WixClient
from blogworker.stages.records import IDEAS, SOURCE, Source
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

CACHED_S = 3_600.0  # a new category is used after this time at the latest
MOST = 3  # per post; Wix accepts 10

log = get_logger()


async def category_ids(work: Work, wix: WixClient, tags: Sequence[str]) -> list[str]:
    """Return the ids of the categories of a post with these tags, the best match first."""
    try:
        labels = await _labels(work, wix)
    except (Misconfigured, Rejected, SiteUnavailable, Unavailable) as error:
        log.warning("categories_skipped", error=str(error))
        return []
    source, ideas = work.load(SOURCE) or Source(), work.load(IDEAS)
    keywords = ideas.chosen.keywords if ideas is not None else None
    return matching(
        labels,
        names=[*_product_categories(source), *tags, *_texts(source.tags)],
        phrases=[*_texts(source.name), *_texts(source.keyword), *_texts(keywords)],
    )


def _product_categories(source: Source) -> list[str]:
    """Return the categories of the product in the shop. `product_facts` joins them with commas."""
    return [name.strip() for name in str(source.product_type or "").split(",") if name.strip()]


def matching(labels: Mapping[str, str], *, names: Iterable[str], phrases: Iterable[str]) -> list[str]:
    """Return the ids of the categories that match, the best first. `labels`: label by id. `names`: texts that may equal
    a label. `phrases`: texts that may contain a label."""
    keys = [key for name in names if (key := tag_key(name))]
    parts = [*keys, *(tag_key(phrase) for phrase in phrases)]
    ranks: dict[str, tuple[int, int]] = {}
    for category_id, label in labels.items():
        if not (wanted := tag_key(label)):
            continue
        if wanted in keys:
            ranks[category_id] = (0, keys.index(wanted))
        elif (place := next((n for n, part in enumerate(parts) if _contains(part, wanted)), None)) is not None:
            ranks[category_id] = (1, place)
    return sorted(ranks, key=ranks.__getitem__)[:MOST]


def _contains(text: str, label: str) -> bool:
    """Whether a text contains the words of a label, one after the other."""
    if UNSPACED.search(label):
        return len(label) > 1 and label in text
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text) is not None


def _texts(value: object) -> Iterator[str]:
    yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


async def _labels(work: Work, wix: WixClient) -> dict[str, str]:
    key = f"categories/{work.claim.instance_id}"
    if isinstance(cached := await work.cache.recall(key), dict):
        return {str(category_id): str(label) for category_id, label in cached.items()}
    labels = await wix.categories(work.claim.instance_id)
    await work.cache.remember(key, labels, ttl_s=CACHED_S)
    return labels
