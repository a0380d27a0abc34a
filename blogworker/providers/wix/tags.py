"""Tags of the blog of a site. Wix identifies a tag by its label, ignoring case, so each exists once."""

from collections.abc import Sequence
from typing import Any

from blogworker.errors import Rejected
from blogworker.providers.answer import at, identifier, objects, text
from blogworker.providers.wix.site import WixSites

MOST_TAGS = 30  # per post
PAGE = 100
MOST_PAGES = 20  # 2,000 tags; later ones of a larger site are not used
EXISTS = 409


async def tag_ids_of(sites: WixSites, instance_id: str, labels: Sequence[str], *, language: str | None) -> list[str]:
    """Return the ids of the tags with these labels, in order. Missing tags are created."""
    wanted = list(dict.fromkeys(label for label in labels if label.strip()))[:MOST_TAGS]
    known = await _named(sites, instance_id, wanted)
    found: dict[str, None] = {}
    for label in wanted:
        tag_id = known.get(label.casefold()) or await _created(sites, instance_id, label, language)
        if tag_id is not None:
            found[tag_id] = None
    return list(found)


async def _created(sites: WixSites, instance_id: str, label: str, language: str | None) -> str | None:
    """Create a tag, and return its id, or the id of an existing tag whose label differs only in case."""
    body = {"label": label} | ({"language": language} if language else {})
    try:
        answer = await sites.post(instance_id, "/blog/v3/tags", body=body, repeatable=True)
    except Rejected as error:
        if error.status != EXISTS:
            raise
        return (await _all(sites, instance_id)).get(label.casefold())
    return identifier(at(answer, "tag", "id"))


async def _named(sites: WixSites, instance_id: str, labels: Sequence[str]) -> dict[str, str]:
    spellings = sorted({spelt for label in labels for spelt in (label, label.lower(), label.capitalize())})
    if not spellings:
        return {}
    return ids_of(
        await _query(sites, instance_id, {"filter": {"label": {"$in": spellings}}, "paging": {"limit": PAGE}})
    )


async def _all(sites: WixSites, instance_id: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for page in range(MOST_PAGES):
        tags = await _query(sites, instance_id, {"paging": {"limit": PAGE, "offset": page * PAGE}})
        found |= ids_of(tags)
        if len(tags) < PAGE:
            break
    return found


async def _query(sites: WixSites, instance_id: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await sites.post(instance_id, "/blog/v3/tags/query", body={"query": query}, repeatable=True)
    return objects(answer.get("tags"))


def ids_of(tags: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return label in lower case -> id of the usable tags."""
    named = [(text(tag.get("label")), identifier(tag.get("id"))) for tag in tags]
    return {label.casefold(): tag_id for label, tag_id in named if label is not None and tag_id is not None}
