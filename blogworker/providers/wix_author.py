"""The author of a site's posts: its owner, who may have to be made a member. Nobody else, whose name would be theirs.

Wix tells the owner by an e-mail address, and only to an app that may read it.
"""

from typing import Any

from anyio import Lock

from blogworker.errors import Rejected, SiteUnavailable, Unavailable
from blogworker.providers.wix_auth import PROVIDER
from blogworker.providers.wix_site import INSTANCE, Params, WixSites

MEMBERS = "/members/v1/members"
PAGE = 50
MOST_PAGES = 20  # 1,000 members: of a site with more, the owner may not be found
EXISTS = 409


class Authors:
    """The authors of every site this process has served. Looked for once for all who want one."""

    def __init__(self, sites: WixSites) -> None:
        self._sites = sites
        self._known: dict[str, str] = {}
        self._locks: dict[str, Lock] = {}

    async def get(self, instance_id: str, *, instead_of: str | None) -> str:
        """The member's id. `instead_of`: one that Wix does not know, or not any more."""
        async with self._locks.setdefault(instance_id, Lock()):
            if self._known.get(instance_id) in (None, instead_of):
                self._known[instance_id] = await _author(self._sites, instance_id)
            return self._known[instance_id]


async def _author(sites: WixSites, instance_id: str) -> str:
    site = (await sites.get(instance_id, INSTANCE)).get("site")
    site = site if isinstance(site, dict) else {}
    owner = _email_of(site)
    if owner is None:
        raise _nobody("Wix does not tell who owns the site, so its posts have no author")
    found = await _member(sites, instance_id, owner) or await _made(sites, instance_id, owner, site)
    if found is None:
        raise _nobody(f"the owner is a member of the site, but not among the first {PAGE * MOST_PAGES}")
    return found


def _email_of(site: dict[str, Any]) -> str | None:
    told = site.get("ownerInfo")
    email = (told.get("email") if isinstance(told, dict) else None) or site.get("ownerEmail")
    return email if isinstance(email, str) and email else None


async def _member(sites: WixSites, instance_id: str, owner: str) -> str | None:
    """The id of the member with this address, if there is one."""
    for page in range(MOST_PAGES):
        params: Params = {"fieldsets": "FULL", "paging.limit": PAGE, "paging.offset": page * PAGE}
        members = (await sites.get(instance_id, MEMBERS, params=params)).get("members")
        members = [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
        for member in members:
            if str(member.get("loginEmail")).lower() == owner.lower() and member.get("id"):
                return str(member["id"])
        if len(members) < PAGE:
            break
    return None


async def _made(sites: WixSites, instance_id: str, owner: str, site: dict[str, Any]) -> str | None:
    """The owner made a member; the one that is there, if somebody was quicker."""
    nickname = site.get("siteDisplayName") or owner.partition("@")[0]
    body = {"member": {"loginEmail": owner, "profile": {"nickname": nickname}}}
    try:
        member = (await sites.post(instance_id, MEMBERS, body=body)).get("member")
    except Rejected as error:
        if error.status != EXISTS:
            raise
        return await _member(sites, instance_id, owner)
    if not isinstance(member, dict) or not member.get("id"):
        raise Unavailable("the answer names no member", provider=PROVIDER, code="unreadable")
    return str(member["id"])


def _nobody(what: str) -> SiteUnavailable:
    return SiteUnavailable(
        f"{what}: set member_id in the site's settings, to the id of one of its members",
        provider=PROVIDER,
        code="no_author",
    )
