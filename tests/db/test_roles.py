"""What each group role can and cannot do, with real logins and the statements that the program sends."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from blogworker.db.grants import ROLES, Role
from blogworker.db.migrate import created_functions
from blogworker.db.sql import query, sql_dir

from .logins import KEYWORD, Logins, attempted

pytestmark = pytest.mark.anyio
QUERIES = Path(str(sql_dir())) / "queries"
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
# What is done: who can, of producer, worker, reader, operator.
DEEDS = {
    "select enqueue_blog('shop', 'keyword', 'linen')": "P  O",
    "select enqueue_blog('new shop', 'keyword', 'linen', publish_at => now() + interval '1 day')": "P  O",
    """select enqueue_blogs('[{"instance_id": "new", "source_type": "keyword", "source_id": "linen"}]')""": "P  O",
    "select create_sites(array['new'])": "P  O",
    "select require_room(null, array['shop'], array[1])": "P  O",
    f"insert into blog_generations {KEYWORD}": "",
    "insert into sites (instance_id) values ('new')": "O",
    "insert into sites (instance_id, virtual_time) values ('new', 1e14)": "",
    "select from blog_generations": "WRO",
    "select from sites": "WRO",
    "select from blog_posts": "WRO",
    "select from blogworker_migrations": "WRO",
    "select * from v_waiting": "WRO",
    "select * from v_quotas": "WRO",
    "select * from spending": "WRO",
    "select * from site_service": "WRO",
    "select * from service_fairness": "WRO",
    "update sites set weight = 1000": "O",
    "update sites set own_weight = 2, plan = 'premium'": "O",
    "update sites set share_cap = 1000": "",
    "select from plans": "WRO",
    "insert into plans (name, weight) values ('mine', 1000)": "O",
    "update plans set weight = 1000": "O",
    "delete from plans where name = 'premium'": "O",
    "select follow_plans()": "WO",
    "update sites set budget_day_usd = 1e6": "O",
    "update sites set paused_at = now(), pause_reason = 'holiday'": "WO",
    "update sites set virtual_time = 0": "W",
    "update sites set turn_cost = 0.1": "W",
    "delete from sites": "",
    "update blog_generations set status = 'PENDING' where status = 'FAILED'": "WO",
    "update blog_generations set status = 'CANCELLED' where status = 'FAILED'": "WO",
    "update blog_generations set priority = 9": "O",
    "update blog_generations set failures = 0": "W",
    "update blog_generations set held_for = attempt, held_usd = 0": "",
    "update blog_generations set held_usd = 0": "",
    "update blog_generations set held_usd = 0 where id = 2": "W",  # as save_checkpoint does
    "update blog_generations set source_data = '{}'": "",
    "update blog_generations set instance_id = 'shop'": "",
    "update blog_generations set id = default": "",
    "delete from blog_generations where status = 'FAILED'": "O",
    "truncate blog_generations cascade": "",
    "lock table blog_generations in access exclusive mode": "O",  # whoever may DELETE can
    "select from turns for no key update": "W",
    "select from stage_clocks for no key update": "W",
    "update stage_clocks set virtual_time = 5": "W",
    "update fleet_budget set day_usd = null": "O",
    "insert into stage_pauses (stage, reason) values ('image', 'r')": "O",
    "delete from stage_pauses": "O",
    "insert into api_tokens (name, hash, scopes) values ('n', sha256('t'), '{read}')": "O",
    "update api_tokens set scopes = '{operate}'": "",
    "update api_tokens set hash = sha256('mine')": "",
    "delete from history": "W",
    "insert into scalings (host, workers, wanted, target) values ('h', 1, 1, 1)": "WO",
    "update scalings set wanted = 0": "",
    "select from v_scale": "WRO",
    "insert into audit (actor, via, action) values ('a', 'cli', 'b')": "O",
    "insert into audit (actor, via, action, db_role) values ('a', 'cli', 'b', 'other')": "",
    "delete from audit": "",
    "insert into webhooks (name, url, events) values ('w', 'https://x.example.com', '{done}')": "O",
    "insert into webhooks (name, events, failures) values ('w', '{done}', 9)": "",
    "update webhooks set url = 'https://mine.example.com'": "",
    "update webhooks set events = '{done}'": "",
    "update webhooks set paused_at = now(), pause_reason = 'r'": "O",
    "update webhooks set disabled_at = now(), disabled_reason = 'r'": "WO",
    "delete from webhooks": "O",
    "select payload from webhook_deliveries": "WRO",
    "update webhook_deliveries set payload = '{}'": "",
    "update webhook_deliveries set webhook_id = gen_random_uuid()": "",
    "insert into webhook_deliveries (webhook_id, message_id, event, payload) "
    "values (gen_random_uuid(), gen_random_uuid(), 'alert', '{}')": "W",
    "delete from alerts": "W",
    "select note_ended_jobs('{1}')": "",
    "update audit set actor = 'other'": "",
    "update fleet_budget set stopped_until = now() + interval '1 year'": "",
    "update site_spend set cost_usd = 0": "",
    "update fleet_spend set cost_usd = 0": "",
    "update queue_gauge set pending = 0": "",
    "update quotas set requests_per_minute = 1": "WO",
    "update quotas set requests_clock = now() + interval '1 year'": "W",
    "update provider_health set state = 'closed'": "WO",
    "update provider_health set struck = '{}'": "W",
    "insert into provider_usage (hour, provider, model, instance_id) values (now(), 'p', 'm', 'shop')": "W",
    "insert into generation_stages (generation_id, stage, output, attempt) values (2, 'ideas', '{}', 1)": "W",
    "update blog_posts set title = 'mine'": "W",
    "update blog_posts set score = 100": "W",
    "select store_post(2, 'shop', '{}', null)": "W",
    """select record_post(2, 'shop', '{"title": "K", "angle": "", "terms": ["k"]}')""": "W",
    "select draw_review(2, 1, '00000000-0000-0000-0000-000000000001', 1)": "W",
    "update site_reviews set passed = 0": "",
    "insert into site_reviews (instance_id, passed) values ('shop', 0)": "",
    "update provider_usage set score_sum = 0": "W",
    "insert into site_titles (instance_id, key, title) values ('shop', 'k', 'K')": "",
    "insert into site_slugs (instance_id, slug) values ('shop', 'k')": "",
    "insert into site_posts (instance_id, generation_id, title, angle, terms) values ('shop', 1, 'K', '', '{}')": "W",
    "insert into site_terms (instance_id, term, generation_id) values ('shop', 'k', 1)": "W",
    "delete from site_posts": "",
    "update scheduled_blogs set publish_at = now()": "O",
    "delete from workers": "WO",
    "insert into blogworker_migrations (version, name, checksum) values (9999, 'n', '')": "",
    "select nextval('blog_generations_id_seq')": "",
    "select setval('blog_generations_id_seq', 1000000)": "",
    "select secure_functions()": "",
    "select compare_titles()": "",
    "select wake_workers()": "W",
    "select note_restore(null)": "WO",
    "select advance_sequences()": "O",
    "insert into restores (since, reason) values (now(), 'r')": "O",
    "delete from restores": "",
    "update database_history set timeline = 7": "",
    "select note_queue_size(1000000000, 1)": "",
    "create table mine ()": "",
    "create function mine() returns int language sql return 1": "",
    "create trigger mine before insert on sites for each row execute function replace_seeded_row('instance_id')": "",
    "alter table sites disable trigger user": "",
    "drop table cache": "",
    "create role mine": "",
}
ENQUEUES = {"queue/enqueue_blog", "queue/enqueue_many", "queue/create_sites", "queue/require_room"}
CHANGES = {
    *(
        "queue/cancel",
        "queue/retry",
        "queue/pause_site",
        "queue/resume_site",
        "queue/set_site",
        "queue/follow_plans",
        "ops/pause_stages",
        "ops/resume_stages",
        "ops/record_audit",
        "ops/quiet_worker",
        "ops/resume_worker",
        "ops/set_plan",
        "ops/remove_plan",
        "ops/record_scaling",
        "ops/add_restore",
        "ops/advance_sequences",
        "spend/set_site_budget",
    ),
    *("ops/prune", "ops/prune_leftovers", "spend/set_fleet_budget"),
    *("webhooks/create", "webhooks/remove", "webhooks/pause", "webhooks/resume"),
    *("quota/breaker_close", "quota/set_bucket", "quota/unblock"),
}
BOTH = {"queue/pause_site", "queue/follow_plans"}  # the worker and the operator
SCALES = {"ops/metrics_scale", "ops/scale_memory", "ops/record_scaling"}
LOOKS = {"queue/known_keys", "queue/outlook", "queue/retry_outlook", "spend/usage"}


def named(room: str) -> set[str]:
    return {f"{room}/{path.stem}" for path in (QUERIES / room).glob("*.sql")}


# fixed: its names were looked up when it was made, or are looked up in the schema of the tables.
FUNCTIONS = """
    select
        p.proname::text as name,
        p.prosecdef as definer,
        p.proconfig @> array['search_path=public, pg_temp'] is true as pinned,
        p.prosqlbody is not null or p.proconfig @> array['search_path=public, pg_temp'] is true as fixed,
        has_function_privilege('public', p.oid, 'EXECUTE') as open
    from pg_proc as p
    where
        p.pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
        and p.proname = any (%s)
"""
SENT = {
    "blogworker_producer": ENQUEUES,
    "blogworker_reader": named("ops") - CHANGES | LOOKS | named("history") - {"history/record"} | {"alerts/list"},
    "blogworker_operator": named("ops") | CHANGES | LOOKS | ENQUEUES | named("access"),
    "blogworker_worker": (
        named("queue")
        | named("quota")
        | named("stages")
        | {"ops/heartbeat", "history/record"}
        | BOTH
        | SCALES
        | named("webhooks")
        | named("alerts")
    )
    - (CHANGES - BOTH - SCALES)
    - ENQUEUES
    - {"queue/listen"},  # no plan is made of it, and no privilege asked for
}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
async def test_a_role_can_do_what_the_table_says_and_nothing_else(logins: Logins, role: Role) -> None:
    letter = role.name.removeprefix("blogworker_")[0].upper()
    wrong = {}

    for deed, who in DEEDS.items():
        error = attempted(logins.of[role.name], deed)
        refused = isinstance(error, InsufficientPrivilege | psycopg.errors.GeneratedAlways)
        if (error is None) != (letter in who) or (error is not None and not refused):
            wrong[deed] = error

    assert wrong == {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
async def test_the_statements_that_the_program_sends_as_a_role_are_allowed(logins: Logins, role: Role) -> None:
    """Postgres checks privileges when a plan is made ready to run, which EXPLAIN does too."""
    refused = {}

    for name in sorted(SENT[role.name]):
        text = query(name)
        try:
            with logins.of[role.name].transaction(force_rollback=True) as _, logins.of[role.name].cursor() as cursor:
                cursor.execute(b"explain " + text.encode(), dict.fromkeys(PLACEHOLDER.findall(text)))
        except psycopg.Error as error:
            refused[name] = error

    assert refused == {}


async def test_every_function_is_listed_has_a_fixed_search_path_and_is_not_public(logins: Logins) -> None:
    """A function that resolves names by the caller's search_path could call the caller's own functions."""
    rows = logins.owner.execute(FUNCTIONS.encode(), [created_functions()]).fetchall()

    assert {row["name"] for row in rows} <= set(created_functions())
    assert len(rows) > 80
    assert [row["name"] for row in rows if not row["fixed"]] == []
    assert [row["name"] for row in rows if row["open"]] == []
    assert [row["name"] for row in rows if row["definer"] and not row["pinned"]] == []
    assert (
        sorted(logins.owner.execute(b"select own_functions() as names").fetchall()[0]["names"]) == created_functions()
    )


async def test_functions_in_claims_are_inlined(logins: Logins) -> None:
    """A function with a setting cannot be inlined: it would be called for each row that a claim reads."""
    plan = logins.owner.execute(
        b"explain (verbose, costs off) select line_number(g.stage, g.rescues), needs_shop(g), "
        b"is_attempt(g, 1, 1, gen_random_uuid()) from blog_generations as g"
    ).fetchall()

    assert not any(name in str(plan) for name in ("line_number", "stage_number", "needs_shop", "is_attempt"))
