"""Replicate's SDK and its traps, over real TCP."""

import json
import logging
from collections.abc import AsyncIterator

import pytest
from anyio import fail_after

from blogworker.errors import Misconfigured, OutcomeUnknown, RateLimited, Rejected, Unavailable
from blogworker.providers.picture import LARGEST_IMAGE
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.replicate_answers import (
    PredictionFailed,
    PredictionGone,
    PredictionState,
    UnusablePicture,
    explanation_of,
    is_ours,
    picture,
    refusal,
)
from blogworker.settings import ReplicateSettings

from .vendor import Answer, Vendor

pytestmark = pytest.mark.anyio

TOKEN = "r8_secret"  # noqa: S105
JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 10
CREATED = {"id": "p1", "model": "black-forest-labs/flux-schnell", "version": "hidden", "status": "starting"}


@pytest.fixture
async def replicate(vendor: Vendor, patience_s: float) -> AsyncIterator[ReplicateClient]:
    settings = ReplicateSettings(
        api_token=TOKEN, base_url=vendor.url, timeout=patience_s, poll_interval=0.02, deadline=5, _env_file=None
    )
    async with ReplicateClient(settings, connections=2) as client:
        yield client


def prediction(status: str, **fields: object) -> Answer:
    return Answer(body={**CREATED, "status": status, **fields})


async def test_a_creation_sends_what_the_sdk_cannot(replicate, vendor):
    """Without Cancel-After a prediction that nobody waits for runs on, and is billed."""
    vendor.will(Answer(201, CREATED))

    assert await replicate.create("a mug", aspect_ratio="16:9", seed=7) == "p1"

    asked = vendor.asked[0]
    assert asked.path == "/v1/models/black-forest-labs/flux-schnell/predictions"
    assert asked.headers["cancel-after"] == "5s"
    assert asked.headers["authorization"] == "Bearer r8_secret"
    assert asked.body["input"] == {"prompt": "a mug", "aspect_ratio": "16:9", "output_format": "jpg", "seed": 7}


@pytest.mark.silence
async def test_a_creation_without_an_answer_times_out(replicate, vendor):
    """The SDK gives a POST no timeout at all."""
    vendor.will(Answer(silent=True))

    with pytest.raises(OutcomeUnknown), fail_after(20):
        await replicate.create("a mug", aspect_ratio="16:9")


A = "https://replicate.delivery/a.jpg"
INLINE = "data:image/jpeg;base64,/9j/AAAA"


@pytest.mark.parametrize(
    ("output", "address"),
    [
        ([A, "https://replicate.delivery/b.jpg"], A),
        ([[A]], A),
        ([None, "", A], A),
        ({"image": A}, A),
        ({"log": "https://replicate.delivery/log.txt", "images": [{"url": A}]}, A),
        ([INLINE], INLINE),
        ([INLINE, A], A),
        ("data:image/jpeg;base64,/9j/AAAA".replace("image/jpeg", "IMAGE/JPEG"), "data:IMAGE/JPEG;base64,/9j/AAAA"),
    ],
)
def test_the_first_picture_of_an_output_is_found(output, address):
    assert picture(PredictionState("succeeded", output)) == address


@pytest.mark.parametrize(
    "output",
    [None, [], "", {}, 5, True, [[]], [None], {"a": {}}, "not an address", "ftp://x/a.jpg", "data:,x",
     "data:text/html;base64,PGh0bWw+", "data:image/jpeg;base64,####", "https://[", f"https://{'x' * 100_000}"],
    ids=lambda output: str(output)[:30],
)  # fmt: skip
def test_an_output_without_a_picture_is_unusable(output):
    with pytest.raises(Rejected) as raised:
        picture(PredictionState("succeeded", output))

    assert raised.value.code == "no_output"


@pytest.mark.parametrize("status", ["done", "Succeeded", "completed"])
@pytest.mark.parametrize("ended", [True, False])
def test_a_picture_of_an_unknown_end_state_is_used(status, ended):
    """It is paid for: to throw it away would buy another one at each attempt."""
    state = PredictionState(status, output=["https://files.example/a.jpg"], ended=ended)

    assert picture(state) == "https://files.example/a.jpg"


def test_an_unknown_status_is_polled_until_it_ends():
    """If it counted as failed, each attempt would buy another picture."""
    assert picture(PredictionState("queued")) is None
    with pytest.raises(PredictionFailed):
        picture(PredictionState("expired", ended=True))


@pytest.mark.parametrize(
    ("detail", "ours"),
    [
        ("- input.aspect_ratio: must be one of the following: square, wide", True),
        ("- input: image is required", True),
        ([{"loc": ["body", "input", "output_format"], "msg": "unexpected value", "type": "enum"}], True),
        ("The specified version does not exist", True),
        ("- input.prompt: too long\n- input.seed: unexpected", True),
        ("- input: Additional property prompt is not allowed; aspect_ratio is not allowed", True),
        ([{"loc": ["body", "input", "prompt"], "msg": "x"}, {"loc": ["body", "input", "seed"], "msg": "y"}], True),
        ("- input.prompt: too long", False),
        ("- input.prompt: This field is required", False),
        ([{"loc": ["body", "input", "prompt"], "msg": "too long for this model"}], False),
        ([{"loc": ["body", "input", "prompt"], "msg": "too long"}], False),
        ("The request was flagged by our safety system", False),
        ("Input validation failed", None),
        (None, None),
    ],
)
def test_a_refused_input_is_our_fault_unless_it_is_the_prompt(detail, ours):
    assert is_ours(explanation_of({"detail": detail})) is ours


@pytest.mark.parametrize("word", ["model", "version", "seed", "prefer", "cancel after", "it is required"])
@pytest.mark.parametrize("sentence", ["- input.prompt: is too long ({})", "Prompt violates the content policy: {}",
    "The prompt was flagged by the filter: {}", "NSFW content in prompt ({})", "{}: flagged as sensitive"])  # fmt: skip
def test_a_sentence_about_one_prompt_is_about_one_job_whatever_its_words(sentence, word):
    """It would open the breaker for the fleet, and the job would never end."""
    assert is_ours(sentence.format(word)) is False


@pytest.mark.parametrize("fields", [{"logs": 5}, {"error": None, "input": "x"}, {"metrics": []}, {"status": "queued"},
                                    {"urls": None, "version": None, "created_at": 7}])  # fmt: skip
async def test_unread_fields_do_not_break_a_prediction(replicate, vendor, fields):
    """The SDK's model class would reject the whole prediction."""
    vendor.will(Answer(201, {**CREATED, **fields}))

    assert await replicate.create("a mug", aspect_ratio="16:9") == "p1"


@pytest.mark.parametrize("output", [["https://replicate.delivery/a.jpg"], "https://replicate.delivery/a.jpg"])
async def test_waiting_ends_with_the_picture(replicate, vendor, output):
    """One model answers with a list, the other with a string; output before success does not count."""
    vendor.will(prediction("starting"), prediction("processing", output=output), prediction("succeeded", output=output))

    assert await replicate.wait("p1") == "https://replicate.delivery/a.jpg"
    assert len(vendor.asked) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (prediction("failed", error="NSFW content detected. Try running it again."), Rejected, "nsfw"),
        (prediction("failed", error="flagged (E005)"), Rejected, "nsfw"),
        (prediction("failed", error="CUDA out of memory"), PredictionFailed, "failed"),
        (prediction("failed"), PredictionFailed, "failed"),
        (prediction("canceled"), PredictionFailed, "canceled"),
        (prediction("aborted"), PredictionFailed, "aborted"),
        (prediction("succeeded", output=None, data_removed=True), PredictionGone, "data_removed"),
        (prediction("succeeded", output=[]), Rejected, "no_output"),
        (Answer(404, {"detail": "not found"}), PredictionGone, None),
        (Answer(200, "<html>"), Unavailable, None),
        (Answer(200, []), Unavailable, None),
        (Answer(200, {"id": "p1"}), Unavailable, "unreadable"),
    ],
)
async def test_every_other_final_status_has_its_error(replicate, vendor, answer, kind, code):
    """`aborted` makes the SDK's model class raise; `canceled` makes its `run` return None."""
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await replicate.wait("p1")

    assert type(raised.value) is kind
    assert code is None or raised.value.code == code


async def test_past_its_deadline_a_prediction_is_cancelled(replicate, vendor):
    replicate._settings = replicate._settings.model_copy(update={"deadline": 0.1})
    vendor.will(prediction("starting"))

    with pytest.raises(PredictionFailed) as raised:
        await replicate.wait("p1")

    assert raised.value.code == "deadline"
    assert vendor.paths()[-1] == "POST /v1/predictions/p1/cancel"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(401, {"detail": "Invalid token r8_secret"}), Misconfigured),
        (Answer(402, {"title": "Payment Required"}), Misconfigured),
        (Answer(404, {"detail": "no such model"}), Misconfigured),
        (Answer(422, {"detail": "input: prompt is required"}), Rejected),
        (Answer(500, "oops"), Unavailable),
        (Answer(503, ["not", "an", "object"]), Unavailable),
        (Answer(201, "not json"), OutcomeUnknown),
        (Answer(201, ["no", "object"]), OutcomeUnknown),
    ],
)
async def test_each_refused_creation_becomes_its_error(replicate, vendor, answer, kind):
    """An error body that is not an object makes the SDK raise AttributeError."""
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await replicate.create("a mug", aspect_ratio="16:9")

    assert type(raised.value) is kind
    assert "r8_secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"detail": "Request was throttled. Your rate limit resets in ~12s."}, {}, 12),
        ({"detail": "6 requests per minute, burst of 1", "status": 429, "retry_after": 5}, {}, 5),
        ({"detail": "throttled"}, {"retry-after": "3"}, 3),
        ({"detail": "throttled"}, {}, 30),
        ("not json", {}, 30),
    ],
)
async def test_a_throttled_creation_has_its_wait(replicate, vendor, body, headers, seconds):
    """The SDK drops `retry_after` from the error it raises."""
    vendor.will(Answer(429, body, headers))

    with pytest.raises(RateLimited) as raised:
        await replicate.create("a mug", aspect_ratio="16:9")

    assert raised.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("detail", "limit"),
    [
        ("reduced to 6 requests per minute", 6),
        ("1 request a minute", 1),
        ("Your limit is 3,000 requests per minute", 3_000),
        ("(600 requests per minute)", 600),
        ("0 requests per minute", 1),
        ("1.5 requests per minute", None),
        ("1.000 requests per minute", None),
        ("9,999,999 requests per minute", None),
        ("1234567 requests per minute", None),
    ],
)
def test_the_limit_in_a_refusal_is_learned_whole_or_not_at_all(detail, limit):
    """A part of the number would slow the fleet to a call a minute."""
    assert refusal(429, json.dumps({"detail": detail}).encode(), {}).requests_per_minute == limit


@pytest.mark.parametrize(("headers", "seconds"), [({"retry-after": "7"}, 7), ({}, 30)])
async def test_a_throttled_download_has_its_wait(replicate, vendor, headers, seconds):
    vendor.will(Answer(429, "slow down", headers))

    with pytest.raises(RateLimited) as raised:
        await replicate.download(f"{vendor.url}/files/a.jpg")

    assert raised.value.retry_after_s == seconds


async def test_a_throttled_poll_is_not_retried_by_the_sdk(replicate, vendor):
    """It would try ten times, sleeping by the provider's header without a cap, with the slot held."""
    vendor.will(Answer(429, {"detail": "throttled"}, {"retry-after": "1"}))

    with pytest.raises(RateLimited):
        await replicate.wait("p1")

    assert len(vendor.asked) == 1


async def test_a_picture_is_fetched_with_its_bytes(replicate, vendor):
    vendor.will(Answer(200, JPEG, {"content-type": "image/jpeg"}))

    assert await replicate.download(f"{vendor.url}/files/a.jpg") == JPEG
    assert vendor.asked[0].headers["authorization"] == "Bearer r8_secret"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(404, "gone"), PredictionGone),
        (Answer(410, "gone"), PredictionGone),
        (Answer(400, "no"), UnusablePicture),
        (Answer(403, "its signature has expired"), UnusablePicture),
        (Answer(500, "oops"), Unavailable),
        (Answer(200, "<html>sorry</html>"), UnusablePicture),
        (Answer(200, b"\xff\xd8\xff" + bytes(LARGEST_IMAGE)), UnusablePicture),
        pytest.param(Answer(silent=True), Unavailable, marks=pytest.mark.silence),
    ],
)
async def test_a_file_that_is_not_a_picture_is_refused(replicate, vendor, answer, kind):
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await replicate.download(f"{vendor.url}/files/a.jpg")

    assert type(raised.value) is kind


async def test_the_price_comes_from_the_settings(replicate):
    assert replicate.cost_usd == 0.003


async def test_no_secret_is_logged(replicate, vendor, caplog):
    caplog.set_level(logging.DEBUG)
    vendor.will(Answer(201, CREATED))

    await replicate.create("a mug", aspect_ratio="16:9")

    assert "r8_secret" not in caplog.text
