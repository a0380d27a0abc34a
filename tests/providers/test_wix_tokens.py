"""Tokens of Wix: bought once per site, renewed before they expire, and what their refusal means."""

import json

import pytest
from anyio import create_task_group

from blogworker.errors import Misconfigured, RateLimited, SiteUnavailable, Unavailable
from blogworker.providers.wix.auth import Token
from blogworker.providers.wix.client import WixClient
from blogworker.settings import WixSettings

from .vendor import Answer
from .wix_answers import SITE, asked_tokens, token

pytestmark = pytest.mark.anyio


async def test_one_token_serves_many_calls(wix, vendor):
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert asked_tokens(vendor) == 1
    assert vendor.asked[0].body == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "shh",
        "instance_id": SITE,
    }
    assert vendor.asked[1].headers["authorization"] == "Bearer t1"


async def test_many_callers_share_one_refresh(wix, vendor):
    """Fifty jobs of one site that start together must not spend its quota on tokens."""
    vendor.will(Answer(body={"postId": "d1"}))

    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wix.publish, SITE, "d1")

    assert asked_tokens(vendor) == 1


async def test_a_token_is_replaced_before_it_expires(wix, vendor):
    vendor.will(token("t1", life_s=0.001), token("t2"), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert [asked.headers.get("authorization") for asked in vendor.asked if "publish" in asked.path] == [
        "Bearer t1",
        "Bearer t2",
    ]


@pytest.mark.parametrize("lifetime", ["abc", None, [], "Infinity", "", True])
async def test_a_token_without_a_readable_lifetime_is_used(wix, vendor, lifetime):
    """Wix granted it: its blogs must not crash over the number beside it."""
    vendor.will(token("t1", life_s=lifetime), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))

    await wix.publish(SITE, "d1")
    await wix.publish(SITE, "d1")

    assert asked_tokens(vendor) == 1


async def test_a_valid_token_is_used_while_no_new_one_is_available(wix, vendor):
    vendor.will(Answer(503, {}), at="/oauth2/token")
    vendor.will(Answer(body={"postId": "d1"}))
    wix._sites._tokens._tokens[SITE] = Token("old", stale_at=0, expires_at=1e12)

    assert await wix.publish(SITE, "d1") == "d1"


async def test_a_refused_token_is_renewed_once(wix, vendor):
    vendor.will(token("t1"), token("t2"), at="/oauth2/token")
    vendor.will(Answer(401, {}), Answer(body={"postId": "d1"}))

    assert await wix.publish(SITE, "d1") == "d1"
    assert asked_tokens(vendor) == 2


async def test_a_site_that_refuses_new_tokens_is_unavailable(wix, vendor):
    """The app is gone, or lacks this one permission: either way no job of the site can go on."""
    vendor.will(Answer(401, {}))
    with pytest.raises(SiteUnavailable, match="no longer installed"):
        await wix.publish(SITE, "d1")

    vendor.will(Answer(body={"instance": {}}), at="/apps/v1/instance")
    with pytest.raises(SiteUnavailable, match="may not use"):
        await wix.publish(SITE, "d1")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, {"error": "invalid_grant", "error_description": "app not installed"}), SiteUnavailable),
        (Answer(403, "no json"), SiteUnavailable),
        (Answer(401, {"error": "invalid_client", "error_description": "bad secret"}), Misconfigured),
        (Answer(429, {}), RateLimited),
        (Answer(502, "<html>"), Unavailable),
        (Answer(200, {"token": "missing"}), Unavailable),
    ],
)
async def test_each_refused_token_request_becomes_its_error(wix, vendor, answer, kind):
    vendor.will(answer, at="/oauth2/token")

    with pytest.raises(kind) as raised:
        await wix.publish(SITE, "d1")

    assert type(raised.value) is kind
    assert "shh" not in str(raised.value)


@pytest.mark.parametrize("value", ["", None, 5, "ä", "a\nb", "\ud800", "x" * 20_000])
async def test_an_unsendable_token_is_refused(wix, vendor, value):
    vendor.will(Answer(200, json.dumps({"access_token": value, "expires_in": 60})), at="/oauth2/token")

    with pytest.raises(Unavailable):
        await wix.publish(SITE, "d1")


async def test_missing_credentials_are_reported_before_any_call():
    with pytest.raises(Misconfigured, match="WIX_APP_ID"):
        await WixClient(WixSettings(_env_file=None), connections=1).open()
