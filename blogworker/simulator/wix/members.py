"""The members of a site. A post needs one as its author."""

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.wix.errors import application_error, not_found, required, validation_error
from blogworker.simulator.wix.query import run_query
from blogworker.simulator.wix.sites import member_of
from blogworker.simulator.wix.state import WixState

FILTERS = frozenset({"id", "loginEmail", "status", "createdDate", "contactId"})
PRIVATE = ("loginEmail", "contact")


class Members:
    """Lists, queries and creates members."""

    def __init__(self, state: WixState) -> None:
        self._state = state

    async def list_members(self, call: Call) -> Response:
        query = call.request.query_params
        limit, offset = int(query.get("paging.limit", 50)), int(query.get("paging.offset", 0))
        members = list(self._state.site(call).members.values())
        page = [_with_fieldset(member, query.get("fieldsets", "PUBLIC")) for member in members[offset : offset + limit]]
        metadata = {"count": len(page), "offset": offset, "total": len(members), "tooManyToCount": False}
        return JSONResponse({"members": page, "metadata": metadata})

    async def query(self, call: Call) -> Response:
        body = call.json if isinstance(call.json, dict) else {}
        fieldset = (body.get("fieldsets") or ["PUBLIC"])[0]
        rows, metadata = run_query(list(self._state.site(call).members.values()), body.get("query"), FILTERS)
        return JSONResponse({"members": [_with_fieldset(dict(row), fieldset) for row in rows], "metadata": metadata})

    async def get(self, call: Call) -> Response:
        member = self._state.site(call).members.get(call.request.path_params["id"])
        if member is None:
            raise not_found("Member")
        return JSONResponse({"member": _with_fieldset(member, call.request.query_params.get("fieldsets", "PUBLIC"))})

    async def create(self, call: Call) -> Response:
        """Create a member without an e-mail to it. Only one per second may be created on a site."""
        given = call.json.get("member") if isinstance(call.json, dict) else None
        email = given.get("loginEmail") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(email, str) or "@" not in email:
            raise validation_error([required("member.loginEmail")])
        site, clock = self._state.site(call), self._state.world.clock
        now = clock.now()
        if now - site.last_member_at < clock.real_seconds(self._state.world.options.wix_member_interval_s):
            raise application_error(429, "RESOURCE_EXHAUSTED", "Members may be created once a second")
        if any(member["loginEmail"].lower() == email.lower() for member in site.members.values()):
            raise application_error(409, "MEMBER_ALREADY_EXISTS", f"Member with login email {email} already exists")
        site.last_member_at = now
        contact, profile = given.get("contact") or {}, given.get("profile") or {}
        member = member_of(
            str(uuid.uuid4()), email=email, nickname=profile.get("nickname") or email.partition("@")[0],
            first=contact.get("firstName", ""), last=contact.get("lastName", ""), created_at=clock.iso(now),
        )  # fmt: skip
        site.members[member["id"]] = member
        return JSONResponse({"member": member})


def _with_fieldset(member: dict[str, Any], fieldset: str) -> dict[str, Any]:
    if fieldset == "FULL":
        return member
    return {name: value for name, value in member.items() if name not in PRIVATE}
