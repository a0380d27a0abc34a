"""The table of what goes wrong at Replicate, row by row, each ending in its action.

The whole pipeline runs against a real database and the simulated providers; what counts is what the queue then says,
and how many pictures were paid for.
"""

from base64 import b64encode

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.providers import replicate as painter
from blogworker.simulator import pictures

from .conftest import SITE, ClosedBreakers

pytestmark = pytest.mark.anyio

CREATED = "predictions.create"


async def pictured(harness) -> bool:
    [row] = await harness.run("select image is not null as pictured from blog_posts")
    return bool(row["pictured"])


async def paid(harness) -> int:
    [row] = await harness.run(
        "select coalesce(sum(requests), 0)::int as n from provider_usage where provider = 'replicate'"
    )
    return int(row["n"])


@pytest.mark.parametrize(
    ("fault", "wait_s"),
    [
        ({"kind": "throttle", "retry_after_s": 40}, 40),
        ({"kind": "low_credit"}, 5),
        ({"kind": "status", "status": 429, "body": {"detail": "Request was throttled."}}, 30),
        ({"kind": "status", "status": 429, "body": "busy"}, 30),
    ],
    ids=["resets in ~40s", "low credit", "no wait named", "no JSON"],
)
async def test_a_rate_limit_uses_no_attempt_and_delays_the_fleet(harness, fault, wait_s):
    """429: wait for what it names, else 30 s; the shared limiter holds every worker."""
    await harness.room.fault(vendor="replicate", operation=CREATED, times=1, **fault)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "RateLimited")
    assert wait_s - 2 < job["wait_s"] <= wait_s
    [bucket] = await harness.run("select blocked_until > now() as blocked from quotas where name = %s",
                                 "replicate/predictions")  # fmt: skip
    assert bucket["blocked"]
    assert await paid(harness) == 0


UNPAID = {"kind": "status", "status": 402, "body": {"title": "Payment Required", "detail": "monthly spend limit"}}
PERSON = [
    {"kind": "no_credit"},
    UNPAID,
    {"kind": "status", "status": 401, "body": {"detail": "Invalid token."}},
    {"kind": "status", "status": 404, "body": {"detail": "The requested resource could not be found."}},
    {"kind": "status", "status": 422, "body": {"detail": "- input.aspect_ratio: must be one of: square, wide"}},
    {"kind": "status", "status": 422, "body": {"title": "Input validation failed"}},
]


@pytest.mark.parametrize(
    "fault", PERSON, ids=["402 no credit", "402 spend limit", "401", "404 model", "422 our input", "422 unnamed"]
)
async def test_failures_that_need_a_person_open_the_breaker_and_use_no_attempt(harness, fault):
    await harness.room.fault(vendor="replicate", operation=CREATED, **fault)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "Misconfigured")
    assert await harness.breaker("replicate") == {"state": "open", "misconfigured": True}
    assert await harness.calls("replicate", CREATED) == 1
    assert await harness.calls("openai", "responses.create") == 2  # neither is bought again:
    await harness.close("replicate")
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("openai", "responses.create") == 2


async def test_without_credit_a_post_is_published_without_a_picture_where_a_setting_says_so(harness):
    harness.trouble = "skip"
    await harness.room.fault(vendor="replicate", kind="no_credit")

    assert (await harness.attempt())["status"] == "DONE"
    assert not await pictured(harness)
    [shown] = await harness.room.posts(SITE)
    assert not shown["coverVisible"]


async def test_a_refused_input_ends_the_blog_and_the_log_has_the_input(harness, capsys):
    """422: to ask again would be refused again. The prompt tells a person why."""
    await harness.room.fault(
        vendor="replicate", kind="status", status=422, operation=CREATED,
        body={"title": "Input validation failed", "detail": "- input.prompt: too long"},
    )  # fmt: skip

    job = await harness.attempt()

    assert (job["status"], job["kind"]) == ("FAILED", "Rejected")
    assert "input.prompt: too long" in job["message"]
    assert "picture_refused" in capsys.readouterr().out
    assert await harness.calls("replicate", CREATED) == 1


@pytest.mark.parametrize("url", ["http://pictures.example/a.jpg", "https://10.0.0.7/a.jpg"])
async def test_a_picture_at_an_address_that_is_not_allowed_costs_one_more_picture(harness, url):
    """The same prediction was fetched in each attempt, until the blog failed."""
    await harness.room.fault(vendor="replicate", operation="predictions.get", kind="altered",
                             body={"status": "succeeded", "output": [url]})  # fmt: skip

    assert (await harness.attempt())["code"] == "address"
    assert (await harness.attempt())["status"] == "DONE"

    assert await paid(harness) == 2
    assert not await pictured(harness)


@pytest.mark.parametrize("kind", ["reset_after", "no_answer", "malformed"])
async def test_a_creation_whose_answer_was_lost_is_found_and_not_paid_for_again(harness, kind):
    """There is no idempotency key; but its prompt and seed are in the list of the latest predictions."""
    await harness.room.fault(vendor="replicate", operation=CREATED, kind=kind, times=1, delay_s=5)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 1, "OutcomeUnknown")
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 1
    assert await paid(harness) == 1
    assert await pictured(harness)


async def test_a_prediction_of_a_worker_that_died_in_the_creation_is_found_by_the_next(harness):
    """Killed while the creation was under way: it is in nobody's books, but what would find it is."""
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="no_answer", times=1, delay_s=60)
    async with create_task_group() as worker:
        worker.start_soon(harness.attempt)
        with fail_after(20):
            while not await harness.calls("replicate", CREATED):
                await sleep(0.02)
        worker.cancel_scope.cancel()
    await harness.run("update blog_generations set status = 'PENDING' where status = 'PROCESSING'")

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 1
    assert await paid(harness) == 1
    assert await pictured(harness)


async def test_a_failed_prediction_is_not_mistaken_for_the_lost_new_one(harness):
    """Each creation has a seed of its own, and what is looked for is the one after the last we know of."""
    await harness.room.fault(vendor="replicate", kind="failed", times=1)
    assert (await harness.attempt())["code"] == "failed"
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="reset_after", times=1)
    assert (await harness.attempt())["kind"] == "OutcomeUnknown"

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == await paid(harness) == 2
    assert await harness.calls("replicate", "predictions.list") == 1


async def test_a_refused_creation_is_not_searched_for(harness):
    """Otherwise each job that waits for credit would read the account's whole list at every attempt."""
    await harness.room.fault(vendor="replicate", kind="low_credit", times=1)
    assert (await harness.attempt())["kind"] == "RateLimited"

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", "predictions.list") == 0


async def test_a_creation_that_never_arrived_is_repeated(harness):
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="reset_before", times=1)

    assert (await harness.attempt())["kind"] == "OutcomeUnknown"
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", "predictions.list") == 1
    assert (await harness.room.stats())["replicate"]["predictions"] == await paid(harness) == 1


async def test_an_unsafe_picture_is_requested_once_with_a_softer_prompt(harness):
    await harness.room.fault(vendor="replicate", kind="nsfw", times=1)

    assert (await harness.attempt())["status"] == "DONE"

    assert {"image.prediction", "image.softened"} <= set(await harness.checkpoints())
    assert await pictured(harness)


async def test_a_post_continues_without_a_picture_that_stays_unsafe(harness):
    await harness.room.fault(vendor="replicate", kind="nsfw")

    assert (await harness.attempt())["status"] == "DONE"

    assert not await pictured(harness)
    assert await harness.calls("replicate", CREATED) == 2


DEATHS = [
    {"kind": "failed"},
    {"kind": "failed", "message": "Director: unexpected error handling prediction (E6716)"},
    {"kind": "aborted"},
    {"kind": "canceled"},
]
NAMES = ["CUDA", "Director", "aborted", "canceled"]


@pytest.mark.parametrize("fault", DEATHS, ids=NAMES)
async def test_a_failed_prediction_is_repeated_with_backoff(harness, fault):
    harness.breakers = ClosedBreakers()
    await harness.room.fault(vendor="replicate", operation=CREATED, times=2, **fault)

    for spent in (1, 2):
        job = await harness.attempt()
        assert (job["status"], job["failures"]) == ("PENDING", spent)
        assert job["wait_s"] > 0

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 3
    assert await pictured(harness)


@pytest.mark.parametrize("output", [[], None, {"image": None}], ids=["empty list", "null", "an object without one"])
async def test_a_filtered_picture_is_requested_once_with_a_softer_prompt(harness, output):
    """The model's filter removed it and the prediction succeeded: five were paid for, one after another."""
    await harness.room.fault(vendor="replicate", operation="predictions.get", kind="altered", body={"output": output})

    assert (await harness.attempt())["status"] == "DONE"

    assert {"image.prediction", "image.softened"} <= set(await harness.checkpoints())
    assert not await pictured(harness)
    assert await paid(harness) == 2


@pytest.mark.parametrize("policy", ["wait", "skip", "fail"])
async def test_unusable_pictures_are_paid_for_twice_then_the_site_decides(harness, policy):
    harness.trouble = policy
    await harness.room.fault(vendor="replicate", operation="files.get", kind="status", status=404)

    assert (await harness.attempt())["kind"] == "PredictionGone"
    job = await harness.attempt()

    assert job["status"] == ("FAILED" if policy == "fail" else "DONE")
    assert (job["code"] == "no_picture") is (policy == "fail")
    assert await paid(harness) == 2


async def test_a_person_who_retries_a_blog_without_a_picture_buys_another(harness):
    harness.trouble = "fail"
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="gone", times=2)
    assert [(await harness.attempt())["status"] for _ in range(2)] == ["PENDING", "FAILED"]

    await harness.run("update blog_generations set status = 'PENDING'")

    assert (await harness.attempt())["status"] == "DONE"
    assert await pictured(harness)
    assert await paid(harness) == 3


async def test_a_picture_inside_the_answer_is_uploaded_to_wix(harness):
    """Wix cannot fetch a `data:` URL."""
    asked = {"prompt": "a mug", "aspect_ratio": "16:9", "output_format": "jpg"}
    jpeg = pictures.draw(pictures.PictureRequest.from_input(asked, variant=0, seed=1))
    address = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    await harness.room.fault(
        vendor="replicate", operation="predictions.get", kind="altered", body={"output": [address]}
    )

    assert (await harness.attempt())["status"] == "DONE"

    assert await paid(harness) == 1
    assert (await harness.checkpoints())["image"]["url"] is None
    [shown] = await harness.room.posts(SITE)
    assert shown["coverVisible"]
    assert await harness.calls("wix", "media.import") == 0


async def test_an_unnamed_refusal_fails_its_job_while_others_are_accepted(harness):
    """A 422 about the settings opens the breaker; one that only this blog gets must not."""
    assert (await harness.attempt())["status"] == "DONE"
    job_id = await harness.add(SITE, source_id="rugs")
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="status", status=422, body={"title": "no"})

    await harness.attempt()

    job = await harness.job(job_id)
    assert (job["status"], job["kind"]) == ("FAILED", "Rejected")
    assert (await harness.breaker("replicate"))["state"] == "closed"


async def test_after_two_retries_a_post_is_published_without_a_picture_where_a_setting_says_so(harness):
    harness.trouble = "skip"
    await harness.room.fault(vendor="replicate", operation=CREATED, kind="failed")

    assert [(await harness.attempt())["status"] for _ in range(3)] == ["PENDING", "PENDING", "DONE"]
    assert not await pictured(harness)


@pytest.mark.parametrize("status", [404, 410])
async def test_an_expired_picture_file_is_generated_again(harness, status):
    """An hour after it was made the provider deletes it, while the prediction is still there to be looked at."""
    await harness.room.fault(vendor="replicate", operation="files.get", kind="status", status=status, times=2)

    assert (await harness.attempt())["kind"] == "PredictionGone"
    assert (await harness.attempt())["status"] == "DONE"  # looked for once more, then made anew
    assert await harness.calls("replicate", CREATED) == 2
    assert await pictured(harness)


async def test_a_prediction_that_starts_too_slowly_is_cancelled_and_requeued(harness):
    """A cold boot takes minutes; the slot is another's meanwhile."""
    settings = harness.clients.replicate._settings
    harness.clients.replicate._settings = settings.model_copy(update={"deadline": 0.3})
    await harness.room.fault(vendor="replicate", kind="stuck", times=1)

    job = await harness.attempt()

    assert (job["status"], job["code"]) == ("PENDING", "deadline")
    assert await harness.calls("replicate", "predictions.cancel") == 1
    assert (await harness.attempt())["status"] == "DONE"


async def test_every_creation_sets_cancel_after(harness):
    """A prediction that nobody waits for any more, after a crash, is not paid for until the provider's half hour."""
    assert (await harness.attempt())["status"] == "DONE"

    [made] = [entry for entry in await harness.room.requests("replicate") if entry["operation"] == CREATED]
    assert made["cancel_after"] == "5s"


async def test_a_prediction_of_a_worker_that_died_waiting_is_resumed_by_the_next(harness):
    await harness.room.fault(vendor="replicate", operation="predictions.get", kind="reset_before", times=1)

    assert (await harness.attempt())["status"] == "PENDING"
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 1


@pytest.mark.parametrize("size", [(64, 36), (1024, 1024)], ids=["tiny", "square"])
async def test_a_picture_unfit_as_a_cover_counts_as_failed(harness, monkeypatch, size):
    monkeypatch.setitem(drawn_sizes(), "16:9", size)

    job = await harness.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("PENDING", "UnusablePicture", "wrong_shape")
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", "postgresql://unused")
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 2


def drawn_sizes() -> dict[str, tuple[int, int]]:
    return pictures.SIZES  # type: ignore[return-value]


async def test_a_picture_too_large_for_wix_counts_as_failed(harness, monkeypatch):
    monkeypatch.setattr(painter, "LARGEST_IMAGE", 2_000)

    assert (await harness.attempt())["code"] == "too_large"


async def test_a_file_that_is_not_a_picture_is_fetched_again_then_generated_again(harness):
    await harness.room.fault(
        vendor="replicate", operation="files.get", kind="status", status=200, body="<html>sorry</html>", times=1
    )

    assert (await harness.attempt())["code"] == "not_a_picture"
    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("replicate", CREATED) == 1


async def test_the_checked_picture_is_stored_with_its_size(harness):
    assert (await harness.attempt())["status"] == "DONE"

    image = (await harness.checkpoints())["image"]
    assert (image["type"], image["width"], image["height"]) == ("image/jpeg", 1024, 576)
    assert image["alt"]
    [shown] = await harness.room.posts(SITE)
    assert shown["coverVisible"]
    assert shown["coverAlt"] == image["alt"]
