"""All faults of the simulated providers, with real workers: what each one wastes, and that no job is lost or doubled.

Each kind of fault hits 5 % of the calls that it applies to, and in total at most 5 % of the number of jobs. The bench
also does, and counts, what an operator would do: it resumes paused sites and retries FAILED jobs.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from anyio import fail_after, sleep

from blogworker.bench.environment import Environment, environment
from blogworker.bench.environment.simulator import ProviderFault
from blogworker.bench.scratch import server
from blogworker.db.pool import Row
from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.prices import IMAGE_PRICES, TEXT_PRICES, Usage, in_force, text_cost
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.validation import NewJob
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices

PROBABILITY = 0.05
POLL_S = 0.5
PROGRESS_EVERY = 50  # jobs
PRODUCT_EVERY = 5  # one job in five is about a product of the shop, the others have a keyword
NO_ANSWER_S, SLOW_S = 1.0, 0.5
HARMLESS = ("latency", "slow_body", "cold", "early_output", "no_headers", "lost_in_query")  # the answer is used
CREATING = ("openai", "responses.create"), ("replicate", "predictions.create"), ("wix", "drafts.create")
NETWORK_FAULTS = ("reset_before", "reset_after", "no_answer", "malformed", "slow_body", "html", "latency", "throttle")
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
    jobs: int
    sites: int
    workers: int
    concurrency: int
    speed: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Met:
    """One kind of fault in one kind of call."""

    vendor: str
    operation: str
    kind: str
    times: int
    wasted: int  # calls whose answer was not used
    wasted_usd: float  # upper bound: as if the provider billed all of them


@dataclass(frozen=True, slots=True)
class Figure:
    met: tuple[Met, ...]
    ledger: tuple[Row, ...]  # of blogworker, a row per provider
    done: int
    drafts: int
    posts: int
    duplicate_drafts: int
    duplicate_posts: int
    retried: int  # jobs, by the operator
    resumed: int  # sites, by the operator
    took_s: float


def faults(jobs: int) -> list[ProviderFault]:
    """Return all faults for a run of so many jobs."""
    pairs = [(*call, kind) for call in CREATING for kind in NETWORK_FAULTS]
    pairs += [(*call, kind) for call, kinds in KINDS.items() for kind in kinds]
    common = {"probability": PROBABILITY, "times": max(1, round(jobs * PROBABILITY))}
    details = {"no_answer": {"delay_s": NO_ANSWER_S}, "slow_body": {"delay_s": SLOW_S}, "latency": {"delay_s": SLOW_S}}
    details["throttle"] = {"retry_after_s": 1}
    found = [
        {"vendor": provider, "operation": operation, "kind": kind, **common, **details.get(kind, {})}
        for provider, operation, kind in pairs
    ]
    statuses = [(*call, status) for call in CREATING for status in (401, 500)]
    return found + [
        {"vendor": provider, "operation": operation, "kind": "status", "status": status, **common}
        for provider, operation, status in statuses
    ]


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Run all jobs. Raises TimeoutError if not all of them are DONE in time."""
    scenario = _scenario(faults(plan.jobs))
    async with server() as dsn, environment(dsn, _settings(plan), speed=plan.speed, scenario=scenario) as env:
        await _enqueue(plan, env)
        started = datetime.now(UTC)
        for n in range(plan.workers):
            await env.fleet.start(f"faults/{n}")
        retried, resumed = await _until_done(plan, env, progress)
        await env.fleet.stop()
        took_s = (datetime.now(UTC) - started).total_seconds()
        ledger = tuple(await env.database.rows("bench/faults_spend"))
        stats, requests = await env.simulator.stats(), await env.simulator.requests()
    wix, used = stats["wix"], {prediction for row in ledger for prediction in row["used"]}
    return Figure(
        met=_met(requests, used),
        ledger=ledger,
        done=plan.jobs,
        drafts=wix["drafts_created"],
        posts=wix["posts_published"],
        duplicate_drafts=wix["duplicate_drafts"],
        duplicate_posts=wix["duplicate_posts"],
        retried=retried,
        resumed=resumed,
        took_s=took_s,
    )


def _scenario(faults: Sequence[ProviderFault]) -> str:
    """Return the TOML text of a scenario with these faults."""
    lines = ["[options]", "kept_requests = 1000000", "openai_tail = 0.0"]
    for fault in faults:
        lines += ["[[faults]]", *(f"{name} = {json.dumps(value)}" for name, value in fault.items())]
    return "\n".join(lines)


def _settings(plan: Plan) -> dict[str, str]:
    return {
        "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
        "BLOGWORKER_RETRY_BASE": "0.2",
        "BLOGWORKER_RETRY_CAP": "2",
        "BLOGWORKER_DRAIN_TIMEOUT": "0",
        "REPLICATE_DEADLINE": "5",
    }


async def _enqueue(plan: Plan, env: Environment) -> None:
    sites = [f"site{n}" for n in range(plan.sites)]
    products = {site: await env.simulator.products(site) for site in sites}
    jobs = []
    for n in range(plan.jobs):
        site, of_site = sites[n % plan.sites], n // plan.sites
        if of_site % PRODUCT_EVERY == 0:
            product = products[site][of_site // PRODUCT_EVERY % len(products[site])]
            jobs.append(NewJob(site, "product", product, {}))
        else:
            jobs.append(NewJob(site, "keyword", None, {"keyword": f"topic {n} of the year"}))
    await enqueue_many(env.database, jobs, counts=Counter(job.instance_id for job in jobs))


async def _until_done(plan: Plan, env: Environment, progress: Callable[[str], None]) -> tuple[int, int]:
    """Wait until all jobs are DONE. Return how many jobs were retried, and how many sites resumed."""
    retried = resumed = reported = 0
    with fail_after(plan.timeout_s):
        while (state := await env.database.one("bench/faults_state"))["done"] < plan.jobs:
            for site in state["paused"]:
                resumed += await env.database.maybe("queue/resume_site", instance_id=site) is not None
            if state["failed"]:
                prices = Prices(OpenAISettings(), ReplicateSettings())
                retried += len(await retry_jobs(env.database, await plan_retry(env.database, Choice(), prices)))
            if state["done"] // PROGRESS_EVERY > reported:
                reported = state["done"] // PROGRESS_EVERY
                progress(f"{state['done']} of {plan.jobs} done")
            await sleep(POLL_S)
    return retried, resumed


def _met(requests: Sequence[Mapping[str, Any]], used: set[str]) -> tuple[Met, ...]:
    """Count the faults in the request log. `used`: the predictions whose image became a cover."""
    times: Counter[tuple[str, str, str]] = Counter()
    wasted: Counter[tuple[str, str, str]] = Counter()
    usd: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for call in requests:
        fault = call.get("fault")
        prediction = call.get("prediction") if call["operation"] == "predictions.create" else None
        is_wasted = prediction not in used if prediction else bool(fault) and fault not in HARMLESS
        if not fault and not is_wasted:
            continue
        key = (call["vendor"], call["operation"], fault or "(repeated after a fault)")
        times[key] += 1
        wasted[key] += is_wasted
        usd[key] += _usd(call) if is_wasted else 0.0
    return tuple(Met(*key, count, wasted[key], usd[key]) for key, count in sorted(times.items()))


def _usd(call: Mapping[str, Any]) -> float:
    """Return what the provider may bill for a call."""
    today = datetime.now(UTC).date()
    if "prediction" in call and call["operation"] == "predictions.create":
        image = in_force(IMAGE_PRICES.get(call["model"], ()), today)
        return image.usd if image else 0.0
    if "output_tokens" not in call or (text := in_force(TEXT_PRICES.get(call["model"], ()), today)) is None:
        return 0.0
    usage = Usage(tokens_in=int(call["input_tokens"]), tokens_out=int(call["output_tokens"]))
    return text_cost(text, usage)
