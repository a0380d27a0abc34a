"""Categories of the blog of a site. Only its owner creates them."""

from blogworker.providers.answer import identifier, objects, text
from blogworker.providers.wix.site import WixSites

PAGE = 100
MOST_PAGES = 5  # 500 categories; others of the site are not used
LONGEST_LABEL = 200


async def categories_of(sites: WixSites, instance_id: str) -> dict[str, str]:
    """Return id -> label of the categories, in the order of the site."""
    found: dict[str, str] = {}
    for page in range(MOST_PAGES):
        query = {"paging": {"limit": PAGE, "offset": page * PAGE}}
        answer = await sites.post(instance_id, "/blog/v3/categories/query", body={"query": query}, repeatable=True)
        listed = objects(answer.get("categories"))
        for category in listed:
            category_id, label = identifier(category.get("id")), text(category.get("label"))
            if category_id is not None and label is not None and len(label) <= LONGEST_LABEL:
                found[category_id] = label
        if len(listed) < PAGE:
            break
    return found
