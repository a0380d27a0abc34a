"""The author of the posts of a site: its owner, for whom a member may be created. It is nobody else, as the name of
the author is on each post.

Wix identifies the owner by an e-mail address, and only for an app with the permission to read it.
"""

from collections.abc import Mapping
from typing import Any

from anyio import Lock

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.answer import at, identifier, objects, text
from blogworker.providers.wix.auth import PROVIDER, UNREADABLE
from blogworker.providers.wix.site import INSTANCE, Params, WixSites

MEMBERS = "/members/v1/members"
PAGE = 50
MOST_PAGES = 20  # 1,000 members; on a larger site the owner may not be found
EXISTS = 409


class Authors:
    """A cache of the author of each site. Concurrent jobs share one search."""

    def __init__(self, sites: WixSites) -> None:
        self._sites = sites
        self._known: dict[str, str] = {}
        self._locks: dict[str, Lock] = {}

    async def get(self, instance_id: str, *, instead_of: str | None) -> str:
        """Return the id of the member. `instead_of`: an id that Wix does not know (any more)."""
        async with self._locks.setdefault(instance_id, Lock()):
            if self._known.get(instance_id) in (None, instead_of):
                self._known[instance_id] = await _author(self._sites, instance_id)
            return self._known[instance_id]


async def _author(sites: WixSites, instance_id: str) -> str:
    site = at(await sites.get(instance_id, INSTANCE), "site")
    owner = owner_of(site)
    if owner is None:
        raise _no_author("Wix does not return the owner of the site, so its posts have no author")
    found = await _member(sites, instance_id, owner) or await _created(sites, instance_id, owner, site)
    if found is None:
        raise _no_author(f"the owner is a member of the site, but not among the first {PAGE * MOST_PAGES}")
    return found


def owner_of(site: Any) -> str | None:
    """Return the e-mail address of the owner."""
    return text(at(site, "ownerInfo", "email")) or text(at(site, "ownerEmail"))


async def _member(sites: WixSites, instance_id: str, owner: str) -> str | None:
    """Return the id of the member with this e-mail address, if there is one."""
    for page in range(MOST_PAGES):
        params: Params = {"fieldsets": "FULL", "paging.limit": PAGE, "paging.offset": page * PAGE}
        answer = await sites.get(instance_id, MEMBERS, params=params)
        if (found := member_in(answer, owner)) is not None:
            return found
        if len(objects(answer.get("members"))) < PAGE:
            break
    return None


def member_in(answer: Mapping[str, Any], owner: str) -> str | None:
    for member in objects(answer.get("members")):
        if (text(member.get("loginEmail")) or "").lower() == owner.lower() and identifier(member.get("id")):
            return identifier(member["id"])
    return None


async def _created(sites: WixSites, instance_id: str, owner: str, site: Any) -> str | None:
    """Create a member for the owner. If another worker has just created it, return that one."""
    nickname = text(at(site, "siteDisplayName")) or owner.partition("@")[0]
    body = {"member": {"loginEmail": owner, "profile": {"nickname": nickname}}}
    try:
        created = identifier(at(await sites.post(instance_id, MEMBERS, body=body), "member", "id"))
    except Rejected as error:
        if error.status != EXISTS:
            raise
        return await _member(sites, instance_id, owner)
    if created is None:
        raise Unavailable("the response names no member", provider=PROVIDER, code=UNREADABLE)
    return created


def _no_author(what: str) -> SiteUnavailable:
    return SiteUnavailable(
        f"{what}: set member_id in the site's settings, to the id of one of its members",
        provider=PROVIDER,
        code="no_author",
    )
