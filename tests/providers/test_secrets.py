"""A provider may echo what it was sent in any part of its answer: no secret stays in our errors and logs."""

import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from html import escape
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import ProviderError
from blogworker.providers import replicate_answers
from blogworker.providers.answer import object_of
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.replicate_answers import picture
from blogworker.providers.wix import auth as wix_auth
from blogworker.providers.wix import site as wix_site
from blogworker.providers.wix.client import WixClient
from blogworker.redact import HIDDEN, SHORTEST, forms
from blogworker.settings import LogSettings, OpenAISettings, ReplicateSettings, WixSettings
from blogworker.telemetry import configure, get_logger

from .test_openai import ASK
from .vendor import Answer, Vendor

pytestmark = pytest.mark.anyio

SITE = "11111111-2222-3333-4444-555555555555"
ANY_KEY = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=SHORTEST, max_size=200)
KEY, TOKEN = "%2F\\\"'$(x)<&>/+=|^~`{}", "t0ken.of*the[shop]?"
Call = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    configure(LogSettings(format="json"))
    yield
    structlog.reset_defaults()


def answers(key: str) -> Iterator[Answer]:
    """Refusals that repeat a key in each part that some provider fills with words."""
    echoed = f'Incorrect "{key}" ({key!r}), sent as {json.dumps({"Authorization": f"Bearer {key}"})}'
    named = {"message": echoed, "type": key, "code": key, "param": key}
    wix = {"applicationError": {"code": key, "description": echoed}}
    faults = {"validationError": {"fieldViolations": [{"field": key, "description": echoed}]}}
    nested = json.dumps(named)
    for status in (400, 401, 403, 500):
        yield Answer(status, {"error": named, "message": echoed, "details": wix, "detail": echoed})
    yield Answer(400, {"error": key, "error_description": echoed, "message": nested, "details": faults, "title": key})
    yield Answer(502, f"<html><title>{escape(key)}</title>{key}</html>", {"content-type": "text/html"})
    yield Answer(200, f"<html>{key}</html>", {"content-type": "text/html"})
    yield Answer(401, echoed)
    names = ("x-request-id", "x-wix-request-id", "retry-after", "www-authenticate", "x-ratelimit-reset-tokens")
    yield Answer(429, {"error": named, "message": echoed}, dict.fromkeys(names, key))
    for place in (f"/{quote(key, safe='')}", f"x-{quote(key)}://{quote(key)}"):
        yield Answer(302, {"message": echoed}, {"location": place, "x-request-id": key})


async def nothing_kept(vendor: Vendor, key: str, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown of each answer: the error and its fields, its traceback, and a log line."""
    refused = 0
    for answer in answers(key):
        vendor.will(answer)
        try:
            await call()
        except ProviderError as error:
            refused += 1
            own = [error, *([error.__cause__] if isinstance(error.__cause__, ProviderError) else [])]
            for kept in own:
                parts = f"{kept} {kept!r} {kept.args!r} {list(kept.facts().values())}".replace(HIDDEN, "\0")
                assert [form for form in forms(key) if form in parts] == [], answer
            get_logger().error("job_settled", error=error, codes={str(error.code): [error.code]})
            echoed = "".join(traceback.format_exception(error))  # with what the provider's own client says
            get_logger().error("attempt_crashed", error=echoed)
    shown = capsys.readouterr().out.replace(HIDDEN, "\0")
    assert [form for form in forms(key) if form in shown] == []
    assert refused > 5


OUR_WORDS = "provider status code request_id error message retry-after RateLimited Misconfigured Rejected Unavailable"


@given(key=ANY_KEY.filter(lambda key: key not in OUR_WORDS))
def test_no_refusal_keeps_a_key_of_any_shape(key: str) -> None:
    """The same without a network, for many keys."""
    ReplicateSettings(api_token=key, _env_file=None)
    for answer in answers(key):
        body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        status, content, headers = answer.status, body.encode(), answer.headers
        for error in (
            replicate_answers.refusal(status, content, headers),
            wix_site.refusal(status, content, headers),
            wix_auth._refusal(status, object_of(content) or {}, headers),
        ):
            parts = f"{error} {error!r} {list(error.facts().values())}".replace(HIDDEN, "\0")
            assert [form for form in forms(key) if form in parts] == [], answer


@asynccontextmanager
async def openai_of(vendor: Vendor, key: str) -> AsyncIterator[OpenAIClient]:
    made = OpenAISettings(api_key=key, base_url=f"{vendor.url}/v1", timeout=30, _env_file=None)
    async with OpenAIClient(made, connections=2) as client:
        yield client


async def test_openai_may_repeat_the_key(vendor: Vendor, capsys: pytest.CaptureFixture[str]) -> None:
    async with openai_of(vendor, KEY) as openai:
        await nothing_kept(vendor, KEY, lambda: openai.generate(**ASK), capsys)


async def test_a_paid_answer_may_repeat_the_key(vendor: Vendor) -> None:
    """In the text, which would be published; in a refusal; in the model's name."""
    for part in ({"type": "output_text", "text": json.dumps({"a": KEY})}, {"type": "refusal", "refusal": KEY}):
        message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        vendor.will(
            Answer(body={"id": "r", "object": "response", "model": KEY, "status": "completed", "output": [message]})
        )
        async with openai_of(vendor, KEY) as openai:
            generation = await openai.generate(**ASK)

        shown = f"{generation.text} {generation.fault} {generation.model}".replace(HIDDEN, "\0")
        assert [form for form in forms(KEY) if form in shown] == []


async def test_replicate_may_repeat_the_token(vendor: Vendor, capsys: pytest.CaptureFixture[str]) -> None:
    made = ReplicateSettings(api_token=KEY, base_url=vendor.url, timeout=30, _env_file=None)
    async with ReplicateClient(made, connections=2) as replicate:
        for call in (
            lambda: replicate.create("a mug", aspect_ratio="1:1"),
            lambda: replicate.get("p1"),
            lambda: replicate.find("a mug", seeds=[1]),
            lambda: replicate.download(f"{vendor.url}/a.jpg"),
        ):
            await nothing_kept(vendor, KEY, call, capsys)
        for status in ("failed", "canceled", KEY):
            body = {"id": "p1", "model": "m", "version": "v", "status": status, "error": f"{KEY} is {KEY!r}"}
            vendor.will(Answer(body=body))
            with pytest.raises(ProviderError) as caught:
                picture(await replicate.get("p1"))
            assert KEY not in f"{caught.value} {caught.value.code}".replace(HIDDEN, "\0")


async def test_wix_may_repeat_the_secret_and_the_token(
    vendor: Vendor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token came from Wix itself, for one site and a few hours."""
    monkeypatch.setattr(wix_auth, "REFUSAL_WAIT_S", 0)
    made = WixSettings(app_id="app", app_secret=KEY, base_url=vendor.url, timeout=30, _env_file=None)
    granted = Answer(body={"access_token": TOKEN, "token_type": "Bearer", "expires_in": 14_400})
    async with WixClient(made, connections=2) as wix:
        vendor.will(granted, at="/oauth2/token")
        await nothing_kept(vendor, TOKEN, lambda: wix.publish(SITE, "d1"), capsys)
        await nothing_kept(vendor, KEY, lambda: wix.create_draft(SITE, {"title": "Mugs"}), capsys)
    async with WixClient(made, connections=2) as wix:
        vendor.at.clear()
        await nothing_kept(vendor, KEY, lambda: wix.publish(SITE, "d1"), capsys)


async def test_an_upload_address_is_a_secret_too(vendor: Vendor) -> None:
    made = WixSettings(app_id="app", app_secret="s3cret-of-wix", base_url=vendor.url, timeout=30, _env_file=None)  # noqa: S106
    permission = "upl0ad-permission"
    vendor.will(Answer(body={"access_token": "a-t0ken-of-wix", "expires_in": 14_400}), at="/oauth2/token")
    vendor.will(
        Answer(body={"uploadUrl": f"{vendor.url}/u/{permission}?upload_token={permission[::-1]}"}),
        at="/site-media/v1/files/generate-upload-url",
    )
    vendor.will(Answer(403, {"message": f"{permission} or {permission[::-1]} is not valid"}))

    async with WixClient(made, connections=2) as wix:
        with pytest.raises(ProviderError) as caught:
            await wix.upload_media(SITE, b"x", name="a.jpg", media_type="image/jpeg")

    assert f"{HIDDEN} or {HIDDEN} is not valid" in str(caught.value)
