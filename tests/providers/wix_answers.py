"""Answers of Wix, and a client that asks for them."""

from blogworker.providers.wix import author as wix_author

from .vendor import Answer, Vendor

SITE = "11111111-2222-3333-4444-555555555555"
SECRET = "shh"  # noqa: S105
MEMBERS = "/members/v1/members"
OWNED = Answer(body={"site": {"ownerInfo": {"email": "Owner@shop.example"}}})
OWNER = {"id": "m1", "loginEmail": "owner@shop.example"}
CUSTOMERS = [{"id": f"c{n}", "loginEmail": f"c{n}@x.example"} for n in range(wix_author.PAGE)]
DRAFT = {"title": "Mugs", "memberId": "m1", "seoSlug": "mugs", "excerpt": "All of them."}


def token(value: str = "t1", life_s: float = 14_400) -> Answer:
    return Answer(body={"access_token": value, "token_type": "Bearer", "expires_in": life_s})


def asked_tokens(vendor: Vendor) -> int:
    return vendor.paths().count("POST /oauth2/token")
