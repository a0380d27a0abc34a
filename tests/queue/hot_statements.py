"""The statements that a busy fleet sends all the time, with their parameters and the indexes that they use."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from psycopg import AsyncRawCursor
from psycopg.types.json import Json

from blogworker.db.sql import prepared, query
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters
from blogworker.queue.job import Stage

from .large_database import ME, nodes_of


def mine() -> list[int]:
    """Jobs that `ME` holds."""
    return [n for n in range(60_001, 62_001) if n % 100 == 7 and n % 400 < 200]


def outcomes() -> Json:
    failure = {"stage": "ideas", "kind": "Unavailable", "message": "m"}
    return Json(
        [
            {"job_id": n, "attempt": 1, "status": "SCHEDULED", "delay_s": 9, "spent": True, "failure": failure}
            for n in mine()
        ]
    )


def new_blogs() -> Json:
    return Json(
        [
            {
                "instance_id": f"s{n % 700}",
                "source_type": "keyword",
                "source_id": "k",
                "source_data": {},
                "priority": 0,
                "idempotency_key": f"new{n}",
            }
            for n in range(500)
        ]
    )


FENCE = {"worker_id": ME, "job_id": mine()[0], "attempt": 1}
ONE_BLOG = {
    "instance_id": "s5",
    "source_type": "keyword",
    "source_id": "k",
    "source_data": Json({}),
    "priority": 0,
    "run_at": None,
    "publish_at": None,
    "idempotency_key": "a new key",
    "max_attempts": None,
    "queue_size_limit": 50_000,
    "publish_mode": None,
    "added_by": "alice@host",
}
STORED = {"output": Json({}), "duration_s": 1.0}
PAID = {
    "model": "m",
    "prompt_version": "1",
    "wasted": False,
    "tokens_in": 1,
    "tokens_cached": 0,
    "tokens_out": 1,
    "cost_usd": 0.1,
    "provider": "openai",
}
END = {"next_stage": "content", "made_of": None}
CHECKPOINT = FENCE | STORED | PAID | END | {"stage": "ideas", "replaces": []}
POST = dict.fromkeys(("title", "slug", "excerpt", "markdown", "html", "seo_title", "seo_description"), "t") | {
    "word_count": 1
}
ENTRY = Json({"title": "t", "angle": "", "language": None, "terms": ["mug"]})
WRITTEN = {"score": 80, "post": Json(POST), "image": None, "entry": ENTRY}
PUBLISHED = {
    "score": None,
    "post": Json({"wix_post_id": "p", "url": "https://shop.example/p"}),
    "image": None,
    "entry": None,
}
ARRIVALS = (
    "insert into site_arrivals (instance_id, notified) select 's' || n, false from generate_series(5000, 5020) as n"
)
BILLS = (
    "insert into site_bills (instance_id, correction, blogs, blogs_cost) "
    "select 's' || n, 1, 1, 2 from generate_series(1, 50) as n"
)
SHUT = """
update sites
set at_cap = true, max_in_flight = 3, capped_until = case when instance_id <> 's9' then now() end
where instance_id = any (array(select 's' || n from generate_series(1, 20) as n))"""
BUDGETS = """
update sites set budget_day_usd = 5, budget_month_usd = 50 where instance_id = any (array(
    select g.instance_id from blog_generations as g where g.status = 'PROCESSING'
));
update fleet_budget set day_usd = 500, month_usd = 5000"""
PACING = Pacing(
    buckets=[None, "openai/small", "openai/large", "replicate/predictions", None],
    tokens=[0, 1_000, 4_000, 0, 0],
    leads=[0, 0, 4, 20, 25, 30],
    patience_s=5,
    site_rpm=150,
    site_calls=10,
)


def a_claim(only: ClaimFilter, *, slots: int = 50) -> dict[str, Any]:
    return {"worker_id": ME, "slots": slots, "site_window": 20} | _filter_parameters(only, Scan())


BUCKETS = """
insert into quotas (name, provider, requests_per_minute)
select 'wix/' || n, 'wix', 150 from generate_series(1, 5000) as n;
analyze quotas"""
FLEET = f"""
insert into quotas (name, provider, requests_per_minute, tokens_per_minute)
values
    ('openai/small', 'openai', 6000, 6000000),
    ('openai/large', 'openai', 6000, 6000000),
    ('replicate/predictions', 'replicate', 600, null);
insert into quota_waits (call_id, bucket, client_id, turn, tokens, asked_at, seen_at)
select gen_random_uuid(), 'openai/large', gen_random_uuid(), n, 10, now(), now() from generate_series(1, 3) as n;
{BUCKETS}"""

TAIL = {"job_id": None, "since": datetime.now(UTC) - timedelta(minutes=1), "most": 1_000} | dict.fromkeys(
    ("after_at", "after_job", "after_event", "after_attempt", "after_detail")
)
TAIL_INDEXES = (
    "blog_generations_pkey",
    "blog_generations_finished_idx",
    "blog_generations_part_done_idx",
    "blog_generations_resting_idx",
    "generation_errors_created_idx",
    "generation_errors_generation_idx",
    "generation_stages_pkey",
)
ERRORS = """
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable, created_at)
select n, 1, 'ideas', 'Unavailable', 'm', true, now() - make_interval(secs => n) from generate_series(1, 50000) as n;
analyze generation_errors"""


@dataclass(frozen=True)
class Hot:
    """A statement, what it is called with, and the indexes that carry it. `before` sets the stage."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    before: str | None = None


HOT = [
    Hot(
        "queue/claim",
        a_claim(ALL),
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey"),
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter((Stage.IMAGE, Stage.PUBLISH), "wait", shop=False)),
        (
            "sites_in_line_idx",
            "blog_generations_part_done_idx",
            "blog_generations_pending_idx",
            "blog_generations_pkey",
        ),
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter(pacing=PACING)),
        (
            "sites_in_line_idx",
            "sites_pkey",
            "blog_generations_part_done_idx",
            "blog_generations_pending_idx",
            "blog_generations_pkey",
            "quotas_pkey",
        ),
        before=FLEET,
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter((Stage.SOURCE,), shop=True, pacing=PACING), slots=1),
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey", "quotas_pkey"),
        before=FLEET,
    ),
    Hot("queue/claim_turn"),
    Hot(
        "queue/admit_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("site_arrivals_pkey", "sites_pkey"),
        before=ARRIVALS,
    ),
    Hot(
        "queue/admit_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("sites_at_cap_idx", "sites_pkey"),
        before=SHUT,
    ),
    Hot("queue/reopen_sites", {"after": "s1", "batch": 500}, ("sites_at_cap_idx", "sites_pkey"), before=SHUT),
    Hot(
        "queue/reconcile_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("site_bills_pkey", "sites_pkey"),
        before=BILLS,
    ),
    Hot("queue/sweep_sites", {"after": "s1", "batch": 100}, ("blog_generations_pending_idx", "sites_pkey")),
    Hot("queue/sweep_jobs", {"after": 100, "batch": 1000}, ("blog_generations_pkey",)),
    Hot("queue/retire_sites", {"instance_ids": ["s1", "s2", "s3"], "ahead": 100}, ("sites_pkey",)),
    Hot("queue/settle", {"worker_id": ME, "outcomes": outcomes()}, ("blog_generations_pkey",)),
    Hot(
        "queue/promote",
        {"batch": 1000, "only": None, "skipped": []},
        ("blog_generations_scheduled_idx", "blog_generations_resting_idx", "blog_generations_pkey"),
    ),
    Hot(
        "queue/rescue",
        {"batch": 500, "most_lone": 3, "most": 12, "only": None, "skipped": []},
        ("blog_generations_pkey",),
    ),
    Hot(
        "queue/outstanding",
        {"within_s": 60, "stages": None},
        ("blog_generations_pending_idx", "blog_generations_scheduled_idx"),
    ),
    Hot(
        "queue/extend_lease",
        {"worker_id": ME, "lease_s": 15, "in_flight": 1, "draining": False, "stats": Json({})},
        ("blog_generations_held_idx",),
    ),
    Hot(
        "queue/release_lost_claims",
        {"worker_id": ME, "known": mine(), "older_than_s": 20, "only": None, "skipped": []},
        ("blog_generations_held_idx",),
    ),
    Hot("queue/require_room", {"queue_size_limit": 50_000, "instance_ids": ["s5", "s6"], "counts": [3, 4]}),
    Hot("queue/enqueue_blog", ONE_BLOG),
    Hot("queue/enqueue_blog", ONE_BLOG | {"instance_id": "s1", "idempotency_key": "key1"}),
    Hot(
        "queue/known_keys",
        {"instance_ids": [f"s{n}" for n in range(500)], "idempotency_keys": [f"key{n}" for n in range(500)]},
        ("blog_generations_idempotency_key",),
    ),
    Hot("queue/outlook", indexes=("blog_generations_finished_idx",)),
    Hot("spend/usage", {"days": 30, "most": 2_000}, ("blog_generations_finished_idx", "generation_stages_pkey")),
    Hot("queue/create_sites", {"instance_ids": ["s1", "brand new"]}),
    Hot("queue/enqueue_many", {"blogs": new_blogs()}),
    Hot("queue/pause_site", {"instance_id": "s5", "reason": "r"}, ("sites_pkey",)),
    Hot("queue/pause_if_unlocked", {"instance_id": "s5", "reason": "r"}, ("sites_pkey",)),
    Hot("spend/hold_budget", FENCE | {"usd": 0.02, "now": None}),
    Hot("spend/hold_budget", FENCE | {"usd": 0.02, "now": None}, before=BUDGETS),
    Hot("spend/hold_budget", FENCE | {"usd": 9000, "now": None}, before=BUDGETS),
    Hot(
        "spend/check_budgets",
        {"now": None},
        ("sites_resume_idx", "sites_pkey"),
        before="update sites set paused_at = now(), resume_at = now() where instance_id in ('s1', 's2')",
    ),
    Hot("stages/load_checkpoints", {"job_ids": mine()}, ("generation_stages_pkey",)),
    Hot("stages/save_checkpoint", CHECKPOINT),
    Hot("stages/save_effect", FENCE | STORED | {"stage": "publish.intent", "stamp": "started_at"}),
    Hot("stages/save_paid", FENCE | STORED | PAID | {"stage": "ideas.draft"}),
    Hot("stages/finish_stage", FENCE | STORED | END | WRITTEN | {"stage": "content"}),
    Hot(
        "stages/begin_single_flight",
        {"key": "k", "job_id": mine()[0], "attempt": 1, "ttl_s": 60.0, "always": True},
    ),
    Hot(
        "stages/end_single_flight",
        {"key": "k", "job_id": mine()[0], "attempt": 1, "found": Json([1]), "most": 60, "ttl_s": 60.0},
    ),
    Hot(
        "stages/finish_stage",
        FENCE | STORED | END | PUBLISHED | {"stage": "publish"},
    ),
    Hot("stages/record_post", FENCE | {"entry": ENTRY}),
    Hot("stages/confirm", FENCE),
    Hot("stages/store_post", FENCE | {"post": Json(POST), "image": None}),
    Hot(
        "quota/round",
        {
            "name": "openai/large",
            "call_ids": [uuid4(), uuid4()],
            "turns": [1.0, 2.0],
            "tokens": [1, 1],
            "waited_s": [0.0, 0.0],
            "unused_tokens": [50.0],
            "unused_token_s": [0.01],
            "refund_requests_s": 0.0,
            "refund_tokens_s": 0.0,
            "refund_epoch": 0,
            "longest_wait_s": 1.0,
            "ahead_s": 1.0,
            "reported_s": [1.0],
            "reported_requests": [1],
            "reported_tokens": [1],
            "client_id": uuid4(),
            "number": 2,
            "spares": 3,
        },
        before=FLEET,
    ),
    Hot(
        "ops/heartbeat",
        indexes=(
            "blog_generations_finished_idx",
            "blog_generations_pending_idx",
            "quotas_of_the_fleet_idx",
            "quotas_of_sites_blocked_idx",
        ),
        before=BUCKETS,
    ),
    Hot("ops/tail", TAIL | {"instance_id": None}, TAIL_INDEXES, before=ERRORS),
    Hot(
        "ops/tail",
        TAIL | {"instance_id": "s5"},
        ("blog_generations_pkey", "generation_errors_created_idx"),
        before=ERRORS,
    ),
    Hot("ops/quotas", {"name": "wix/7", "every": False}, ("quotas_pkey",), before=BUCKETS),
]


BRIEF = {
    "queue/claim",
    "queue/claim_turn",
    "queue/admit_sites",
    "queue/reopen_sites",
    "queue/reconcile_sites",
    "queue/retire_sites",
    "queue/promote",
    "queue/sweep_sites",
    "queue/sweep_jobs",
}


async def prepare(connection, hot: Hot) -> None:
    """What Database.briefly runs before these statements says how they are planned."""
    if hot.name in BRIEF:
        await connection.execute(query("db/begin_briefly"))


async def plan(connection, hot: Hot, *, how: str = "format json") -> list[dict[str, Any]]:
    """Every node of the plan of the statement itself; the insides of functions do not show."""
    await prepare(connection, hot)
    cursor = await connection.execute(f"explain ({how}) {query(hot.name)}".encode(), hot.parameters)
    (row,) = await cursor.fetchall()
    return nodes_of(row)


async def plan_for_any_parameters(connection, hot: Hot) -> list[dict[str, Any]]:
    """The plan that a worker's session makes once."""
    await prepare(connection, hot)
    cursor = AsyncRawCursor(connection)
    await cursor.execute(b"explain (generic_plan, format json) " + prepared(hot.name).text)
    return nodes_of(await cursor.fetchone())
