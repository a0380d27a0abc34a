"""The author of a post at Wix: the owner of the site."""

import pytest
from anyio import create_task_group

from blogworker.errors import SiteUnavailable
from blogworker.providers.wix import author as wix_author

from .vendor import Answer
from .wix_answers import CUSTOMERS, MEMBERS, OWNED, OWNER, SITE

pytestmark = pytest.mark.anyio


async def test_the_author_is_the_owner(wix, vendor):
    """Never any other member: their name would stand over the post."""
    vendor.will(OWNED, at="/apps/v1/instance")
    members = [{"id": "m0", "loginEmail": "buyer@x.example"}, {"id": "m1", "loginEmail": "owner@shop.example"}]
    vendor.will(Answer(body={"members": members}))

    assert await wix.member_id(SITE) == "m1"
    assert await wix.member_id(SITE) == "m1"
    assert vendor.paths().count("GET /members/v1/members") == 1


@pytest.mark.parametrize("site", [{}, None, {"ownerInfo": {}}, {"ownerInfo": "somebody"}, {"ownerEmail": None}])
async def test_without_a_known_owner_there_is_no_author(wix, vendor, site):
    """The first member of a shop may be its first customer."""
    vendor.will(Answer(body={"instance": {}, "site": site}), at="/apps/v1/instance")
    vendor.will(Answer(body={"members": [{"id": "m0", "loginEmail": "buyer@x.example"}]}), at=MEMBERS)

    with pytest.raises(SiteUnavailable, match="set member_id in the site's settings"):
        await wix.member_id(SITE)


async def test_an_owner_far_down_the_list_is_found(wix, vendor):
    vendor.will(OWNED, at="/apps/v1/instance")
    vendor.will(Answer(body={"members": CUSTOMERS}), Answer(body={"members": [*CUSTOMERS[:7], OWNER]}), at=MEMBERS)

    assert await wix.member_id(SITE) == "m1"


async def test_an_owner_who_is_no_member_becomes_one(wix, vendor):
    site = {"ownerEmail": "owner@shop.example", "siteDisplayName": "Tidewrack"}
    vendor.will(Answer(body={"site": site}), at="/apps/v1/instance")
    vendor.will(Answer(body={"members": []}), Answer(body={"member": {"id": "m9"}}), at=MEMBERS)

    assert await wix.member_id(SITE) == "m9"
    member = {"loginEmail": "owner@shop.example", "profile": {"nickname": "Tidewrack"}}
    assert vendor.asked[-1].body == {"member": member}


async def test_an_owner_whom_another_worker_made_a_member_meanwhile_is_found(wix, vendor):
    """Its 409 is no fault of the blog, which would be FAILED for it."""
    vendor.will(OWNED, at="/apps/v1/instance")
    empty, there = Answer(body={"members": []}), Answer(body={"members": [OWNER]})
    vendor.will(empty, Answer(409, {"message": "exists already"}), there, at=MEMBERS)

    assert await wix.member_id(SITE) == "m1"


async def test_an_owner_beyond_the_searched_pages_is_looked_up_directly(wix, vendor, monkeypatch):
    monkeypatch.setattr(wix_author, "MOST_PAGES", 2)
    vendor.will(OWNED, at="/apps/v1/instance")
    full = Answer(body={"members": CUSTOMERS})
    vendor.will(full, full, Answer(409, {"message": "exists already"}), full, at=MEMBERS)

    with pytest.raises(SiteUnavailable, match="set member_id"):
        await wix.member_id(SITE)
    assert vendor.paths().count(f"GET {MEMBERS}") == 4


async def test_many_blogs_of_a_site_look_for_its_author_once(wix, vendor):
    """Otherwise each would make the owner a member, which Wix allows once per second."""
    vendor.will(OWNED, at="/apps/v1/instance")
    vendor.will(Answer(body={"members": []}), Answer(body={"member": {"id": "m9"}}), at=MEMBERS)

    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wix.member_id, SITE)

    assert vendor.paths().count(f"POST {MEMBERS}") == 1
