"""The categories of the site's blog that a post belongs to: those that its owner made, and no others.

A category fits a post that has its label as a tag, or as a category of its product, or has the label among the words
of a tag, a keyword or the product's name. Labels are compared as tags are, so `Mugs` is `mug`, in whatever language.

A post without categories is better than none: if the list cannot be read, that is logged, and the post goes on. Wix
drops the ids of categories that were deleted since.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from blogworker.errors import Misconfigured, Rejected, SiteUnavailable, Unavailable
from blogworker.post.render import UNSPACED
from blogworker.post.tags import tag_key
from blogworker.providers.wix.client import WixClient
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

KNOWN_S = 3_600.0  # a category that the owner makes is used from then on
MOST = 3  # of one post; Wix takes 10

log = get_logger()


async def category_ids(work: Work, wix: WixClient, content: Mapping[str, Any]) -> list[str]:
    """The ids of the categories of the post, the best first."""
    try:
        known = await _known(work, wix)
    except (Misconfigured, Rejected, SiteUnavailable, Unavailable) as error:
        log.warning("categories_skipped", error=str(error))
        return []
    source = work.checkpoints.get("source") or {}
    idea = (work.checkpoints.get("ideas") or {}).get("chosen") or {}
    return fitting(
        known,
        names=[*_texts(source.get("categories")), *_texts(content.get("tags")), *_texts(source.get("tags"))],
        phrases=[*_texts(source.get("name")), *_texts(source.get("keyword")), *_texts(idea.get("keywords"))],
    )


def fitting(known: Mapping[str, str], *, names: Iterable[str], phrases: Iterable[str]) -> list[str]:
    """The ids of the categories that fit, the best first. `known`: labels by id; `names`: what may be a label as it is;
    `phrases`: what may hold one."""
    keys = [key for name in names if (key := tag_key(name))]
    parts = [*keys, *(tag_key(phrase) for phrase in phrases)]
    ranks: dict[str, tuple[int, int]] = {}
    for category_id, label in known.items():
        if not (wanted := tag_key(label)):
            continue
        if wanted in keys:
            ranks[category_id] = (0, keys.index(wanted))
        elif (place := next((n for n, part in enumerate(parts) if _holds(part, wanted)), None)) is not None:
            ranks[category_id] = (1, place)
    return sorted(ranks, key=ranks.__getitem__)[:MOST]


def _holds(text: str, label: str) -> bool:
    """Whether the words of a label stand in a text, one behind the other."""
    if UNSPACED.search(label):
        return len(label) > 1 and label in text
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text) is not None


def _texts(value: object) -> Iterator[str]:
    yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


async def _known(work: Work, wix: WixClient) -> dict[str, str]:
    key = f"categories/{work.claim.instance_id}"
    if isinstance(known := await work.cache.recall(key), dict):
        return {str(category_id): str(label) for category_id, label in known.items()}
    known = await wix.categories(work.claim.instance_id)
    await work.cache.remember(key, known, ttl_s=KNOWN_S)
    return known
