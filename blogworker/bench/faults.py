"""Every fault the vendors know, met by real workers: what it wastes, and that nothing is lost or made twice.

Each kind strikes one call in twenty of those it can befall, until it has struck as often as a twentieth of the blogs.
What a person has to do meanwhile is done here, and counted: a site that is paused is resumed, a blog that FAILED is
tried again.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyio import CancelScope, fail_after, sleep
from psycopg.conninfo import make_conninfo

from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.vendors import Fault, Vendors, vendors
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database, Row
from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.prices import IMAGE_PRICES, TEXT_PRICES, Usage, in_force, text_cost
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.validation import NewJob
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices

PROBABILITY = 0.05
LOOK_S = 0.5
PRODUCTS_EVERY = 5  # blogs: one is about a product read from the shop
SILENT_S, SLOW_S = 1.0, 0.5
HARMLESS = ("latency", "slow_body", "cold", "early_output", "no_headers", "lost_in_query")  # the answer is still used
ANSWERS = ("openai", "responses.create"), ("replicate", "predictions.create"), ("wix", "drafts.create")
LOST = ("reset_before", "reset_after", "no_answer", "malformed", "slow_body", "html", "latency", "throttle")
KINDS: Mapping[tuple[str, str], Sequence[str]] = {
    ("openai", "responses.create"): (
        *("refusal", "incomplete", "incomplete_silent", "content_filter", "failed", "short", "poor"),
        *("quota_exhausted", "slow_down", "overloaded", "no_headers"),
    ),
    ("replicate", "predictions.create"): (
        *("failed", "nsfw", "aborted", "canceled", "stuck", "cold", "early_output", "no_output", "gone"),
        *("no_credit", "low_credit"),
    ),
    ("replicate", "predictions.get"): ("reset_before", "malformed", "throttle"),
    ("replicate", "files.get"): ("reset_before", "slow_body"),
    ("wix", "oauth.token"): ("revoked", "html"),
    ("wix", "drafts.create"): ("blog_missing", "no_scope"),
    ("wix", "drafts.publish"): ("reset_after", "no_answer", "malformed"),
    ("wix", "drafts.query"): ("lost_in_query",),
    ("wix", "media.import"): ("import_failed", "reset_after"),
    ("wix", "stores.*"): ("stores_missing",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    blogs: int
    sites: int
    workers: int
    concurrency: int
    speed: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Met:
    """One kind of fault."""

    vendor: str
    operation: str
    kind: str
    times: int
    wasted: int  # calls whose answer served nothing
    wasted_usd: float  # at most: as if the vendor billed every one it worked for


@dataclass(frozen=True, slots=True)
class Figure:
    met: tuple[Met, ...]
    ledger: tuple[Row, ...]  # our own books
    done: int
    drafts: int
    posts: int
    duplicate_drafts: int
    duplicate_posts: int
    retried: int  # by hand
    resumed: int
    took_s: float


def faults(blogs: int) -> list[Fault]:
    """All of them, each as often as a twentieth of the blogs."""
    pairs = [(*place, kind) for place in ANSWERS for kind in LOST]
    pairs += [(*place, kind) for place, kinds in KINDS.items() for kind in kinds]
    common = {"probability": PROBABILITY, "times": max(1, round(blogs * PROBABILITY))}
    details = {"no_answer": {"delay_s": SILENT_S}, "slow_body": {"delay_s": SLOW_S}, "latency": {"delay_s": SLOW_S}}
    details["throttle"] = {"retry_after_s": 1}
    found = [
        {"vendor": vendor, "operation": operation, "kind": kind, **common, **details.get(kind, {})}
        for vendor, operation, kind in pairs
    ]
    statuses = [(*place, status) for place in ANSWERS for status in (401, 500)]
    return found + [
        {"vendor": vendor, "operation": operation, "kind": "status", "status": status, **common}
        for vendor, operation, status in statuses
    ]


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Raises TimeoutError when not all blogs are done in the plan's time."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(server())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-faults-")))
        (scenario := folder / "scenario.toml").write_text(_scenario(faults(plan.blogs)))
        simulator = await stack.enter_async_context(vendors(folder, speed=plan.speed, seed=1, scenario=scenario))
        opened = await stack.enter_async_context(database(dsn))
        await _enqueue(plan, opened, simulator)
        url = make_conninfo(dsn, dbname=(await opened.one("bench/connected_to"))["name"])
        fleet = Fleet({**simulator.environment, **_settings(plan, url)}, folder)
        began = datetime.now(UTC)
        try:
            for n in range(plan.workers):
                await fleet.start(f"faults/{n}")
            retried, resumed = await _until_done(plan, opened, progress)
        finally:
            with CancelScope(shield=True):
                await fleet.stop()
        took_s = (datetime.now(UTC) - began).total_seconds()
        ledger = tuple(await opened.rows("bench/faults_spend"))
        return _figure(plan, await simulator.stats(), await simulator.requests(), ledger, retried, resumed, took_s)


def _scenario(listed: Sequence[Fault]) -> str:
    lines = ["[options]", "kept_requests = 1000000", "openai_tail = 0.0"]
    for fault in listed:
        lines += ["[[faults]]", *(f"{name} = {json.dumps(value)}" for name, value in fault.items())]
    return "\n".join(lines)


def _settings(plan: Plan, url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
        "BLOGWORKER_LOG_FORMAT": "json",
        "BLOGWORKER_RETRY_BASE": "0.2",
        "BLOGWORKER_RETRY_CAP": "2",
        "BLOGWORKER_DRAIN_TIMEOUT": "0",
        "REPLICATE_DEADLINE": "5",
    }


async def _enqueue(plan: Plan, opened: Database, simulator: Vendors) -> None:
    sites = [f"site{n}" for n in range(plan.sites)]
    shops = {site: await simulator.products(site) for site in sites}
    blogs = []
    for n in range(plan.blogs):
        site = sites[n % plan.sites]
        shop = shops[site]
        if n // plan.sites % PRODUCTS_EVERY == 0:
            blogs.append(NewJob(site, "product", shop[n // plan.sites // PRODUCTS_EVERY % len(shop)], {}))
        else:
            blogs.append(NewJob(site, "keyword", None, {"keyword": f"topic {n} of the year"}))
    await enqueue_many(opened, blogs, counts=Counter(blog.instance_id for blog in blogs))


async def _until_done(plan: Plan, opened: Database, progress: Callable[[str], None]) -> tuple[int, int]:
    """How many blogs were retried, and how many sites resumed, by hand."""
    retried = resumed = told = 0
    with fail_after(plan.within_s):
        while (state := await opened.one("bench/faults_state"))["done"] < plan.blogs:
            for site in state["paused"]:
                resumed += await opened.maybe("queue/resume_site", instance_id=site) is not None
            if state["failed"]:
                everything = await plan_retry(opened, Choice(), Prices(OpenAISettings(), ReplicateSettings()))
                retried += len(await retry_jobs(opened, everything))
            if state["done"] // 50 > told:
                told = state["done"] // 50
                progress(f"{state['done']} of {plan.blogs} done")
            await sleep(LOOK_S)
    return retried, resumed


def _figure(
    plan: Plan,
    stats: Mapping[str, Any],
    requests: Sequence[Mapping[str, Any]],
    ledger: tuple[Row, ...],
    retried: int,
    resumed: int,
    took_s: float,
) -> Figure:
    wix, used = stats["wix"], {prediction for row in ledger for prediction in row["used"]}
    return Figure(
        met=_met(requests, used),
        ledger=ledger,
        done=plan.blogs,
        drafts=wix["drafts_created"],
        posts=wix["posts_published"],
        duplicate_drafts=wix["duplicate_drafts"],
        duplicate_posts=wix["duplicate_posts"],
        retried=retried,
        resumed=resumed,
        took_s=took_s,
    )


def _met(requests: Sequence[Mapping[str, Any]], used: set[str]) -> tuple[Met, ...]:
    times: Counter[tuple[str, str, str]] = Counter()
    wasted: Counter[tuple[str, str, str]] = Counter()
    usd: Counter[tuple[str, str, str]] = Counter()
    for call in requests:
        prediction = call.get("prediction") if call["operation"] == "predictions.create" else None
        useless = prediction not in used if prediction else _useless(call)
        if not call.get("fault") and not (prediction and useless):
            continue
        place = (call["vendor"], call["operation"], call.get("fault") or "(made anew after another)")
        times[place] += 1
        wasted[place] += useless
        if useless:
            usd[place] += _usd(call)  # type: ignore[assignment]
    return tuple(Met(*place, count, wasted[place], float(usd[place])) for place, count in sorted(times.items()))


def _useless(call: Mapping[str, Any]) -> bool:
    return bool(call.get("fault")) and call["fault"] not in HARMLESS


def _usd(call: Mapping[str, Any]) -> float:
    """What the vendor may bill for the work it did."""
    today = datetime.now(UTC).date()
    if "prediction" in call and call["operation"] == "predictions.create":
        picture = in_force(IMAGE_PRICES.get(call["model"], ()), today)
        return picture.usd if picture else 0.0
    if "output_tokens" not in call or (text := in_force(TEXT_PRICES.get(call["model"], ()), today)) is None:
        return 0.0
    usage = Usage(tokens_in=int(call["input_tokens"]), tokens_out=int(call["output_tokens"]))
    return text_cost(text, usage)
