"""What was wasted, against the providers' own bill: each call that did not become the post is counted, once."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from blogworker.prices import IMAGE_PRICES, TEXT_PRICES, Usage, in_force, text_cost

from .conftest import SITE
from .pipeline_harness import Harness

pytestmark = pytest.mark.anyio

KINDS: dict[str, list[dict[str, Any]]] = {  # faults, and so many calls that they spoil
    "nothing": [],
    "repaired": [{"kind": "short", "vendor": "openai", "times": 1}],
    "unfit twice": [{"kind": "short", "vendor": "openai", "times": 2}],
    "cut off": [{"kind": "incomplete", "vendor": "openai", "times": 1}],
    "cut off twice": [{"kind": "incomplete", "vendor": "openai", "times": 2}],
    "refused": [{"kind": "refusal", "vendor": "openai", "times": 1}],
    "refused twice": [{"kind": "refusal", "vendor": "openai", "times": 2}],
    "withheld": [{"kind": "nsfw", "vendor": "replicate", "times": 1}],
    "withheld twice": [{"kind": "nsfw", "vendor": "replicate", "times": 2}],
    "died": [{"kind": "failed", "vendor": "replicate", "times": 1}],
    "all of it": [
        {"kind": "short", "vendor": "openai", "times": 1},
        {"kind": "incomplete", "vendor": "openai", "times": 1},
        {"kind": "nsfw", "vendor": "replicate", "times": 1},
    ],
}


async def checkpoints(harness: Harness, job_id: int) -> dict[str, Any]:
    rows = await harness.run("select stage, output from generation_stages where generation_id = %s", job_id)
    return {row["stage"]: row["output"] for row in rows}


def bill(calls: list[dict[str, Any]], saved: dict[str, Any]) -> tuple[int, float]:
    """The calls for a blog that did not become its post, and what they cost, by what the providers did."""
    today, kept, wasted = datetime.now(UTC).date(), Counter(n for n in ("ideas", "content") if n in saved), []
    used = saved.get("image", {}).get("prediction_id")
    for call in reversed(calls):  # of each text the last answer is the one that was used
        if call["operation"] == "predictions.create":
            if call["prediction"] != used:
                wasted.append(in_force(IMAGE_PRICES[call["model"]], today).usd)
        elif call["operation"] == "responses.create":
            stage = "ideas" if "idea" in call["schema"] else "content"
            if kept[stage]:
                kept[stage] -= 1
                continue
            usage = Usage(call["input_tokens"], cached=call["cached_tokens"], tokens_out=call["output_tokens"])
            wasted.append(text_cost(in_force(TEXT_PRICES[call["model"]], today), usage))
    return len(wasted), sum(wasted)


@pytest.mark.parametrize("trouble", ["skip", "fail"])
async def test_the_ledger_counts_unusable_billed_answers_as_waste(harness, trouble):
    """It counted one of two pictures that were withheld, and the repair of two texts that were unfit: half."""
    harness.trouble = trouble
    harness.clients = replace(harness.clients, wix=None)
    await harness.run("delete from blog_generations")
    models = {"openai": harness.openai.content_model, "replicate": harness.clients.replicate.model}
    calls, usd, seen = 0, 0.0, Counter(openai=0, replicate=0)
    for kind, faults in KINDS.items():
        job_id = await harness.add(SITE, source_id=f"{kind} curtains")
        for fault in faults:
            await harness.room.fault(**fault, model=models[fault["vendor"]])
        while (await harness.attempt())["status"] not in ("DONE", "FAILED"):
            pass

        asked = [call for vendor in seen for call in (await harness.room.requests(vendor))[seen[vendor] :]]
        seen.update(call["vendor"] for call in asked)
        more = bill(asked, await checkpoints(harness, job_id))
        calls, usd = calls + more[0], usd + more[1]
        assert (more[0] > 0) == (kind != "nothing")
        [sums] = await harness.run("select sum(wasted)::int as wasted, sum(wasted_usd) as usd from provider_usage")
        assert sums["wasted"] == calls, kind
        assert float(sums["usd"]) == pytest.approx(usd, rel=0.05), f"{kind}: what a cache takes in is not in the bill"
        [rows] = await harness.run("select sum(wasted)::int as wasted, sum(wasted_usd) as usd from generation_stages")
        assert rows == sums, "the checkpoints and the ledger say the same"
        await harness.room.forgive()
