"""What a campaign costs, against sums made by hand."""

from typing import Any

import pytest

from blogworker.prices import TextPrice
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import ENOUGH, Estimate, Prices, estimate
from blogworker.stages.catalog import paid_calls

OPENAI = OpenAISettings(
    rpm=100,
    tpm=100_000,
    ideas_model="small",
    content_model="large",
    ideas_tokens=2_000,
    content_tokens=4_000,
    prices={
        "small": (TextPrice(input=0.1, cached=0.01, output=0.5),),
        "large": (TextPrice(input=1, cached=0.1, output=5),),
    },
    _env_file=None,
)
REPLICATE = ReplicateSettings(model="owner/paint", rpm=50, prices={"owner/paint": 0.003}, _env_file=None)


def seen(stage: str, model: str, *, blogs: int = ENOUGH, source_type: str = "product", **sums: int) -> dict[str, Any]:
    used = {"calls": blogs, "tokens_in": 0, "tokens_cached": 0, "tokens_out": 0} | sums
    return {"source_type": source_type, "stage": stage, "model": model, "blogs": blogs, **used}


def bucket(name: str, requests: int, tokens: int | None, *, vendor: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "reported_requests_per_minute": vendor,
        "reported_tokens_per_minute": None,
    }


def of(kinds: dict[str, int], *usage: dict[str, Any], quotas: Any = (), openai: OpenAISettings = OPENAI) -> Estimate:
    calls = paid_calls(openai, REPLICATE)
    needs = {(kind, stage): jobs for kind, jobs in kinds.items() for stage in calls}
    return estimate(needs, tuple(calls.values()), usage, quotas, Prices(openai, REPLICATE))


def test_without_finished_blogs_the_reservations_are_the_estimate() -> None:
    """Ideas 2,000 at $0.50 a million, a post 4,000 at $5, a picture: 0.001 + 0.02 + 0.003."""
    found = of({"keyword": 1_000})

    assert found.usd == pytest.approx(1_000 * 0.024)
    assert {use.seen for use in found.uses} == {0}


def test_at_most_is_every_text_cut_off_and_repaired_and_a_second_picture() -> None:
    """Six caps of output and four reservations of input for each text: 0.006 + 0.0008, 0.12 + 0.016, and 0.006."""
    assert of({"keyword": 10}).usd_at_most == pytest.approx(10 * 0.1488)


def test_finished_blogs_of_the_same_kind_are_the_better_estimate() -> None:
    """A post of 1,500 in, 500 of them cached, and 1,000 out: 1,000 at $1, 500 at $0.10, 1,000 at $5 a million."""
    used = {"tokens_in": 1_500 * ENOUGH, "tokens_cached": 500 * ENOUGH, "tokens_out": 1_000 * ENOUGH}

    post = of({"product": 3}, seen("content", "large", **used)).uses[1]

    assert post.usd == pytest.approx(0.00605)
    assert (post.tokens, post.calls, post.seen, post.seen_of) == (2_500, 1, ENOUGH, "product")


def test_repairs_and_second_pictures_are_in_the_averages() -> None:
    """What was bought beyond the first call is bought again on average."""
    found = of({"product": 1}, seen("image", "owner/paint", blogs=40, calls=50))

    assert found.uses[2].usd == pytest.approx(1.25 * 0.003)


def test_too_few_blogs_of_a_kind_are_joined_by_those_of_any_kind() -> None:
    some = seen("content", "large", blogs=ENOUGH - 1, tokens_out=(ENOUGH - 1) * 900)
    others = seen("content", "large", blogs=1, source_type="keyword", tokens_out=2_900)

    alone, joined = of({"product": 1}, some).uses[1], of({"product": 1}, some, others).uses[1]

    assert (alone.seen, alone.tokens) == (0, 4_000)
    assert (joined.seen, joined.seen_of, joined.tokens) == (ENOUGH, "any", 1_000)


def test_blogs_of_another_model_say_nothing_of_this_one() -> None:
    assert of({"product": 1}, seen("content", "former", blogs=900, tokens_out=1)).uses[1].seen == 0


def test_a_model_without_a_price_makes_the_whole_cost_unknown() -> None:
    """Better no figure than one that leaves the dearest part out."""
    found = of({"keyword": 1}, openai=OPENAI.model_copy(update={"content_model": "new"}))

    assert (found.usd, found.usd_at_most) == (None, None)
    assert found.uses[0].usd == pytest.approx(0.001)


def test_the_narrowest_limit_makes_the_time() -> None:
    """1,000 posts of 4,000 tokens at 100,000 a minute: 40 minutes; the pictures would take 20, the requests 10."""
    found = of({"keyword": 1_000})

    assert (found.minutes, found.narrowest) == (40, "openai/large tokens")


def test_the_limits_in_force_count_more_than_the_settings() -> None:
    """What a person set for the fleet, and what the vendor says it allows."""
    quotas = [bucket("openai/large", 100, 1_000_000), bucket("replicate/predictions", 50, None, vendor=5)]

    found = of({"keyword": 1_000}, quotas=quotas)

    assert (found.minutes, found.narrowest) == (200, "replicate/predictions requests")


def test_two_stages_of_one_model_share_its_bucket() -> None:
    found = of({"keyword": 100}, openai=OPENAI.model_copy(update={"ideas_model": "large"}))

    assert (found.minutes, found.narrowest) == (6, "openai/large tokens")


def test_nothing_costs_nothing() -> None:
    found = of({})

    assert (found.usd, found.usd_at_most, found.minutes, found.narrowest) == (0, 0, 0, None)
