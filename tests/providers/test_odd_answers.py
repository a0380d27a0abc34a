"""Whatever a provider answers, a client gives a value that can be used and stored, or an error that says what to do."""

import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from blogworker.errors import ProviderDown, ProviderError, RateLimited
from blogworker.prices import TEXT_PRICES
from blogworker.providers import http, openai_answers, replicate_answers
from blogworker.providers.answer import object_of, objects
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.picture import inline
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.replicate_wire import enveloped, state_in
from blogworker.providers.wix import author, client, drafts, products, site, tags
from blogworker.providers.wix.auth import token_of
from blogworker.providers.wix.client import WixClient
from blogworker.quota.headers import limits_in
from blogworker.settings import OpenAISettings, ReplicateSettings, WixSettings
from blogworker.stages.pipeline import outcome as outcome_of

from .odd import HEADERS, bodies, headers, outcome
from .vendor import Answer, Vendor

pytestmark = pytest.mark.anyio

TRIES = 2_000  # of each provider, for a seed
SEEDS = [0, *(pytest.param(more, marks=pytest.mark.proof) for more in range(1, 5))]
OVER_TCP = 12
KEY = "k"
SENDABLE = re.compile(r"[ -~]{0,6000}")
ASK: dict[str, Any] = {
    "model": "gpt-6-luna", "instructions": "Write.", "input": "x", "schema_name": "post", "schema": {},
    "max_output_tokens": 500,
}  # fmt: skip
STATUSES = (300, 307, 400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 425, 428, 429, 500, 503, 529, 599)

GENERATION = {
    "id": "resp_1", "object": "response", "created_at": 1_780_000_000, "status": "completed", "error": None,
    "incomplete_details": None, "model": "gpt-6-luna", "service_tier": "default",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"id": "m_1", "type": "message", "role": "assistant", "phase": "commentary", "status": "completed",
         "content": [{"type": "output_text", "text": "First ...", "annotations": []}]},
        {"id": "m_2", "type": "message", "role": "assistant", "phase": "final_answer", "status": "completed",
         "content": [{"type": "output_text", "text": '{"a":', "annotations": []},
                     {"type": "output_text", "text": "1}", "annotations": []}]},
    ],
    "usage": {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
              "output_tokens": 200, "output_tokens_details": {"reasoning_tokens": 50}, "total_tokens": 1200},
}  # fmt: skip
REFUSED = GENERATION | {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}]}
CUT = GENERATION | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FAILED = GENERATION | {
    "status": "failed",
    "error": {"code": "server_error", "message": "try again in 5s"},
    "output": [],
}
FAULT = {"error": {"message": "Rate limit: Requested 5. Please try again in 1s", "type": "tokens",
                   "param": "text.format", "code": "rate_limit_exceeded"}}  # fmt: skip

PREDICTION = {
    "id": "p1", "model": "m", "version": "hidden", "status": "succeeded", "input": {"prompt": "a mug", "seed": 7},
    "output": ["https://replicate.delivery/a.jpg", "https://replicate.delivery/b.jpg"], "error": None, "logs": "",
    "data_removed": False, "created_at": "2026-11-26T10:00:00Z", "completed_at": "2026-11-26T10:00:05Z",
    "metrics": {"predict_time": 1.0}, "urls": {"get": "https://api.replicate.com/v1/predictions/p1"},
}  # fmt: skip
DEAD = PREDICTION | {"status": "failed", "output": None, "error": "NSFW content detected"}
GONE = PREDICTION | {"output": None, "data_removed": True}
PAGE = {"results": [PREDICTION, DEAD], "next": "https://api.replicate.com/v1/predictions?cursor=1", "previous": None}
PROBLEM = {"title": "Input validation failed", "detail": "- input.prompt: too long", "status": 422, "retry_after": 5,
           "invalid_fields": [{"field": "input", "description": "x", "type": "required"}]}  # fmt: skip

DRAFT = {"title": "Mugs", "excerpt": "All of them."}
SITE = {"site": {"ownerInfo": {"email": "o@x.example"}, "siteDisplayName": "X"}, "ownerEmail": "o@x.example"}
# fmt: off
V3 = {"product": {"name": "Mug", "slug": "mug", "plainDescription": "<p>x</p>", "currency": "EUR",
                  "actualPriceRange": {"minValue": {"amount": "14.95"}, "maxValue": {"amount": "19"}},
                  "compareAtPriceRange": {"minValue": {"amount": "20"}}, "brand": {"name": "B"},
                  "url": {"url": "https://x.example/m"}, "inventory": {"availabilityStatus": "IN_STOCK"},
                  "media": {"main": {"image": {"url": "https://x.example/m.jpg"}, "altText": "A mug"},
                            "itemsInfo": {"items": [{"image": "https://x.example/n.jpg"}]}},
                  "options": [{"id": "o", "name": "Size", "choicesSettings": {"choices": [
                      {"choiceId": "c", "name": "S"}, {"choiceId": "d", "name": "L"}]}}],
                  "variantsInfo": {"variants": [
                      {"sku": "1", "choices": [{"optionChoiceIds": {"optionId": "o", "choiceId": "c"}}],
                       "price": {"actualPrice": {"amount": "14.95"}, "compareAtPrice": {"amount": "20"}},
                       "inventoryStatus": {"inStock": False}, "physicalProperties": {"weight": 0.4}},
                      {"choices": [{"optionChoiceNames": {"optionName": "Size", "choiceName": "L"}}],
                       "price": {"actualPrice": {"amount": "19"}}, "visible": True}]},
                  "infoSections": [{"title": "Care", "plainDescription": "<p>By hand</p>"}],
                  "breadcrumbsInfo": {"breadcrumbs": [{"categoryName": "Cups"}]},
                  "physicalProperties": {"shippingWeightRange": {"minValue": 0.4, "maxValue": 0.6},
                                         "weightMeasurementUnitInfo": {"weightMeasurementUnit": "KG"}}}}
V1 = {"product": {"name": "Mug", "slug": "mug", "description": "x", "brand": "B", "sku": "7",
                  "priceData": {"price": 5, "discountedPrice": 4.5, "currency": "EUR"},
                  "priceRange": {"minValue": 5, "maxValue": 9}, "stock": {"inventoryStatus": "IN_STOCK"},
                  "productOptions": [{"name": "Size", "choices": [{"value": "S", "description": "Small"}]}],
                  "variants": [{"choices": {"Size": "Small"}, "stock": {"inStock": False}, "variant": {
                      "priceData": {"price": 5, "discountedPrice": 4.5}, "sku": "8", "visible": True}}],
                  "additionalInfoSections": [{"title": "Care", "description": "<p>By hand</p>"}],
                  "productPageUrl": {"base": "https://x.example", "path": "/m"},
                  "media": {"mainMedia": {"image": {"url": "https://x.example/m.jpg", "altText": "A mug"}},
                            "items": [{"image": {"url": "https://x.example/n.jpg"}}]}}}
# fmt: on
WIX: dict[str, tuple[dict[str, Any], Any]] = {
    "media": (
        {"file": {"id": "abc~mv2.jpg", "url": "https://x.example/f", "operationStatus": "READY"}},
        client.media_file_of,
    ),
    "draft": (
        {"draftPost": {"id": "d1", "status": "UNPUBLISHED"}},
        lambda received: client.id_at(received, "draftPost", "id"),
    ),
    "drafts": (
        {"draftPosts": [{"id": "d1", **DRAFT, "editedDate": "2026-11-26T10:00:00Z"}]},
        lambda received: drafts.draft_id_in(received, DRAFT, since="2026"),
    ),
    "post": ({"post": {"url": {"base": "https://x.example", "path": "/post/m"}}}, client.post_url_of),
    "members": (
        {"members": [{"id": "m1", "loginEmail": "O@x.example"}]},
        lambda received: author.member_in(received, "o@x.example"),
    ),
    "owner": (SITE, lambda received: author.owner_of(received.get("site"))),
    "tags": (
        {"tags": [{"id": "t1", "label": "Mugs"}, {"id": "t2", "label": "Tea"}]},
        lambda received: tags.ids_of(objects(received.get("tags"))),
    ),
    "catalog": ({"catalogVersion": "V3_CATALOG"}, products.catalog_in),
    "product": (V3, lambda received: products.product_in(received, catalog="V3_CATALOG")),
    "old product": (V1, lambda received: products.product_in(received, catalog="V1_CATALOG")),
}  # fmt: skip
WIX_FAULT = {"message": "no", "details": {"applicationError": {"code": "X_NOT_INSTALLED", "description": "x"},
             "validationError": {"fieldViolations": [{"field": "draftPost.title", "description": "x",
                                                      "violatedRule": "MAX_LENGTH"}]}}}  # fmt: skip
TOKEN = {"access_token": "t1", "token_type": "Bearer", "expires_in": 14_400, "error": None, "error_description": None}


def sound(value: Any) -> None:
    """It can be stored, sent and counted with."""
    match value:
        case str():
            value.encode()
            assert "\0" not in value
        case float() | int():
            assert math.isfinite(value)
            assert abs(value) < 1e16
        case dict():
            for name, entry in value.items():
                sound(name)
                sound(entry)
        case list() | tuple():
            for entry in value:
                sound(entry)
        case ProviderError():
            sound([str(value), value.code, value.request_id, value.status])
            outcome_of(value, stage="image", delay_s=1.0)
            if isinstance(value, RateLimited | ProviderDown):
                assert 0 < value.retry_after_s <= http.LONGEST_WAIT_S
        case _ if is_dataclass(value):
            sound([getattr(value, field.name) for field in fields(value) if field.name not in ("headers", "text")])


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_of_openai_is_a_generation_or_an_error_of_ours(seed):
    ends: Counter[str] = Counter()
    for body, chance in bodies([GENERATION, GENERATION, REFUSED, CUT, FAILED, FAULT], count=TRIES, seed=11 + 10 * seed):
        sent = headers(chance)
        if chance.random() < 0.7:
            end = outcome(
                lambda: openai_answers.generation_of(body, sent, model="m", prices=TEXT_PRICES["gpt-6-luna"]),  # noqa: B023
                ProviderError,
            )
            if isinstance(end, openai_answers.Generation):
                end.text.encode()
                assert (end.text != "") >= (end.fault is None)
                sound(end)
                sound(limits_in(end.headers))
                end = end.fault
        else:
            end = openai_answers.refusal(chance.choice(STATUSES), body, sent)
            assert openai_answers.is_ours(body) in (True, False, None)
        sound(end)
        ends[type(end).__name__] += 1
    assert len(ends) >= 8, ends  # the changes reach every way to end


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_of_replicate_is_a_picture_or_an_error_of_ours(seed):
    ends: Counter[str] = Counter()
    for body, chance in bodies([PREDICTION, PREDICTION, DEAD, GONE, PAGE, PROBLEM], count=TRIES, seed=12 + 10 * seed):
        if chance.random() < 0.7:
            creates = chance.random() < 0.2
            end = outcome(lambda: enveloped(body, creates=creates), ProviderError)  # noqa: B023
            if not isinstance(end, ProviderError):
                received = object_of(end)
                assert received is not None
                sound(received["id"])
                end = outcome(lambda: replicate_answers.picture(state_in(received["output"])), ProviderError)  # noqa: B023
            sound(replicate_answers.found_in(object_of(body) or {}, "a mug", seeds=[7]))
            if isinstance(end, str):
                assert end.startswith(("http", "data:"))
                inline(end)
        else:
            end = replicate_answers.refusal(
                chance.choice(STATUSES), body, headers(chance), creates=chance.random() < 0.5
            )
            assert replicate_answers.is_ours(end.args[0]) in (True, False, None)
        sound(end)
        ends[type(end).__name__] += 1
    assert len(ends) >= 9, ends


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_of_wix_is_a_value_or_an_error_of_ours(seed):
    ends: Counter[str] = Counter()
    for name, (template, parser) in WIX.items():
        for body, chance in bodies([template], count=TRIES // len(WIX), seed=13 + 10 * seed):
            end = outcome(
                lambda: parser(site.read(body, headers(chance), repeatable=True)),  # noqa: B023
                ProviderError,
            )
            sound(end)
            ends[type(end).__name__ if isinstance(end, ProviderError) else name] += 1
    for body, chance in bodies([WIX_FAULT, TOKEN], count=TRIES // 2, seed=14 + 10 * seed):
        sound(site.refusal(chance.choice(STATUSES), body, headers(chance)))
        status = chance.choice((200, 200, *STATUSES))
        sent = headers(chance)
        sound(outcome(lambda: token_of(status, body, sent, requested_at=0.0), ProviderError))  # noqa: B023
    assert set(ends) >= {*WIX, "Unavailable"}, ends


async def test_no_client_crashes_on_an_odd_answer(vendor: Vendor) -> None:
    """The same over a connection, where the SDKs and the HTTP libraries read the answers first."""
    settings = {"timeout": 30, "_env_file": None}
    calls: dict[str, tuple[list[Any], Callable[[], Awaitable[object]]]] = {}
    async with (
        OpenAIClient(OpenAISettings(api_key="k", base_url=vendor.url, **settings), connections=1) as openai,
        ReplicateClient(ReplicateSettings(api_token=KEY, base_url=vendor.url, **settings), connections=1) as replicate,
        WixClient(
            WixSettings(app_id="a", app_secret=KEY, base_url=vendor.url, **settings), connections=1
        ) as wix_client,
    ):
        calls["openai"] = [GENERATION, FAILED, FAULT], lambda: openai.generate(**ASK)
        calls["create"] = [PREDICTION, PROBLEM], lambda: replicate.create("a mug", aspect_ratio="16:9", seed=7)
        calls["look"] = [PREDICTION, DEAD, PROBLEM], lambda: replicate.get("p1")
        calls["find"] = [PAGE], lambda: replicate.find("another", seeds=[7])
        calls["author"] = [SITE, WIX["members"][0], WIX_FAULT], lambda: wix_client.member_id("site", instead_of="m1")
        calls["draft"] = [WIX["draft"][0], WIX_FAULT], lambda: wix_client.create_draft("site", DRAFT)
        calls["found"] = [WIX["drafts"][0]], lambda: wix_client.find_draft("site", DRAFT, since=datetime.now(UTC))
        calls["upload"] = (
            [WIX["media"][0] | {"uploadUrl": f"{vendor.url}/upload/1"}],
            lambda: wix_client.upload_media("site", b"x", name="x.jpg", media_type="image/jpeg"),
        )
        vendor.will(Answer(200, TOKEN), at="/oauth2/token")
        for number, (templates, call) in enumerate(calls.values()):
            for body, chance in bodies(templates, count=OVER_TCP, seed=number):
                sent = {name: received for name, received in headers(chance).items() if SENDABLE.fullmatch(received)}
                vendor.will(Answer(chance.choice((200, 200, 201, *STATUSES)), body, sent))
                try:
                    await call()
                except ProviderError as error:
                    sound(error)


@pytest.mark.parametrize("received", HEADERS, ids=lambda received: received[:30])
def test_a_retry_after_header_is_a_usable_wait_or_nothing(received):
    for name in ("retry-after", "retry-after-ms"):
        for date in ("", *HEADERS):
            wait_s = http.named_wait_s({name: received, "date": date})
            assert wait_s is None or 0 < wait_s <= http.LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("received", "seconds"),
    [
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", http.LONGEST_WAIT_S),
        ("-7", http.SHORTEST_WAIT_S),
        ("1.5", 1.5),
        ("5, 60", 60),
        ("60, 5", 60),
        ("٣", None),
        ("nan", None),
        ("9" * 5_000, None),
    ],
    ids=lambda received: str(received)[:30],
)
def test_an_odd_wait_is_read_as_a_person_would(received, seconds):
    assert http.named_wait_s({"retry-after": received}) == seconds
