"""Every change is recorded with who made it, and what was before and after."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from blogworker.ops.audit import Action

FAILED = "update blog_generations set status = 'FAILED'"
OPENAI = "update provider_health set state = 'open', reason = 'down' where provider = 'openai'"
WORKER = (
    "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
    "values (gen_random_uuid(), 'w', 'h', 1, '1', 5, now() + interval '1 h');"
)
PAUSED_SITE = "update sites set paused_at = '2026-01-02Z', pause_reason = 'r', resume_at = '2126-01-02Z'"
HOOK = "insert into webhooks (name, url, events) values ('w', 'https://x.example.com', '{done}')"
PAUSED_HOOK = f"{HOOK}; update webhooks set paused_at = '2026-01-02Z', pause_reason = 'r'"
QUOTA = "insert into quotas (name, provider, requests_per_minute) values ('openai/m', 'openai', 40)"
BLOCKED = f"{QUOTA}; update quotas set blocked_until = '2126-01-02Z'"
GRANTED = "insert into api_tokens (name, hash, scopes) values ('t', sha256('t'), '{read}')"
PREMIUM = {"weight": 3.0, "priority": 5}
ADDED = {"url": "https://x.example.com", "events": ["done"]}
COUNTED = {"ids": [1], "jobs": 1}


@dataclass(frozen=True, slots=True)
class Case:
    """`given`: SQL that runs first. `before`, `after`: what the entry has at least; None: it has nothing there."""

    command: str
    action: Action
    target: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    given: str = ""


CASES = [
    Case("sites pause s --reason r", Action.SITE_PAUSE, "s", {"pause_reason": None}, {"pause_reason": "r"}),
    Case(
        "sites pause s --reason other",
        Action.SITE_PAUSE,
        "s",
        {"pause_reason": "r", "resume_at": "2126-01-02T00:00:00+00:00"},
        {"pause_reason": "other", "resume_at": None},
        PAUSED_SITE,
    ),
    Case(
        "sites resume s",
        Action.SITE_RESUME,
        "s",
        {"paused_at": "2026-01-02T00:00:00+00:00", "pause_reason": "r"},
        {"paused_at": None, "pause_reason": None},
        PAUSED_SITE,
    ),
    Case("sites set s --weight 2", Action.SITE_SET, "s", {"weight": 1.0}, {"weight": 2.0}),
    Case(
        "sites set s --plan premium",
        Action.SITE_SET,
        "s",
        {"plan": "standard", "weight": 1.0, "priority": 0},
        {"plan": "premium", **PREMIUM},
    ),
    Case("sites set s --budget-day 5", Action.SITE_SET, "s", {"budget_day_usd": None}, {"budget_day_usd": 5.0}),
    Case("sites set new --weight 2", Action.SITE_SET, "new", None, {"weight": 2.0}),
    Case("plans set premium --weight 4", Action.PLAN_SET, "premium", {"weight": 3.0}, {"weight": 4.0}),
    Case("plans remove premium", Action.PLAN_REMOVE, "premium", PREMIUM, None),
    Case("costs budget --day 9", Action.BUDGET_SET, None, {"day_usd": None}, {"day_usd": 9.0}),
    Case(
        "breakers close openai",
        Action.BREAKER_CLOSE,
        "openai",
        {"state": "open", "reason": "down"},
        {"state": "closed", "reason": None},
        OPENAI,
    ),
    Case(
        "quotas set openai/m --rpm 50",
        Action.QUOTA_SET,
        "openai/m",
        {"pinned": False, "requests_per_minute": 40},
        {"pinned": True, "requests_per_minute": 50},
        QUOTA,
    ),
    Case(
        "quotas unblock openai/m",
        Action.QUOTA_UNBLOCK,
        "openai/m",
        {"blocked_until": "2126-01-02T00:00:00+00:00"},
        {"blocked_until": None},
        BLOCKED,
    ),
    Case("cancel 1", Action.JOBS_CANCEL, "job 1", {"status": {"PENDING": 1}}, {"status": {"CANCELLED": 1}, **COUNTED}),
    Case(
        "retry 1 --yes",
        Action.JOBS_RETRY,
        "job 1",
        {"status": {"FAILED": 1}},
        {"status": {"PENDING": 1}, "from": None, **COUNTED},
        FAILED,
    ),
    Case("prune --older-than 0s", Action.JOBS_PRUNE, None, {"jobs": 1}, {"jobs": 0, "older_than_s": 0.0}, FAILED),
    Case("pause --stage image --reason r", Action.STAGES_PAUSE, "image", {"image": None}, {"image": "r"}),
    Case(
        "pause --reason r",
        Action.STAGES_PAUSE,
        "source, ideas, content, image, publish",
        {"image": "other", "publish": None},
        {"image": "r", "publish": "r"},
        "insert into stage_pauses values ('image', 'other')",
    ),
    Case(
        "resume --stage image",
        Action.STAGES_RESUME,
        "image",
        {"image": "r"},
        {"image": None},
        "insert into stage_pauses values ('image', 'r')",
    ),
    Case(
        "workers quiet w --reason r",
        Action.WORKER_QUIET,
        "w",
        {"quiet": False, "reason": None},
        {"quiet": True, "reason": "r"},
        WORKER,
    ),
    Case(
        "workers quiet w --reason r",
        Action.WORKER_QUIET,
        "w",
        {"reason": "other"},
        {"reason": "r"},
        f"{WORKER} insert into quiet_workers values ('w', 'other')",
    ),
    Case(
        "workers resume w",
        Action.WORKER_RESUME,
        "w",
        {"quiet": True, "reason": "r"},
        {"quiet": False, "reason": None},
        "insert into quiet_workers values ('w', 'r')",
    ),
    Case("webhooks add w --url https://x.example.com --event done", Action.WEBHOOK_ADD, "w", None, ADDED),
    Case("webhooks remove w", Action.WEBHOOK_REMOVE, "w", ADDED, None, HOOK),
    Case("webhooks pause w --reason r", Action.WEBHOOK_PAUSE, "w", {"pause_reason": None}, {"pause_reason": "r"}, HOOK),
    Case(
        "webhooks resume w",
        Action.WEBHOOK_RESUME,
        "w",
        {"paused_at": "2026-01-02T00:00:00+00:00", "pause_reason": "r"},
        {"paused_at": None, "pause_reason": None},
        PAUSED_HOOK,
    ),
    Case("tokens create t --scope read", Action.TOKEN_CREATE, "t", None, {"scopes": ["read"]}),
    Case("tokens revoke t", Action.TOKEN_REVOKE, "t", {"revoked_at": None}, {}, GRANTED),
    Case(
        "reconcile --since 2026-01-02T03:04Z",
        Action.RESTORE_NOTE,
        None,
        None,
        {"since": "2026-01-02T03:04:00+00:00", "reason": "noted by hand: a backup was restored"},
    ),
    Case(
        "reconcile",
        Action.SEQUENCES_ADVANCE,
        None,
        {"public.blog_generations_id_seq": 1},
        {"public.blog_generations_id_seq": 9},
        "insert into blog_generations (id, instance_id, source_type, source_id) overriding system value "
        "values (9, 's', 'keyword', 'k9')",
    ),
]


def entries(cli: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("audit", "--json").json
    return found


def test_every_action_has_a_case() -> None:
    assert {case.action for case in CASES} == set(Action)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command)
def test_a_change_is_recorded_with_what_was_before_and_after(cli: Any, sql: Any, case: Case) -> None:
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    if case.given:
        sql(case.given)

    ran = cli(*case.command.split(), SUDO_USER="alice")

    assert ran.code == 0, ran.err
    (entry,) = entries(cli)
    assert (entry["action"], entry["target"], entry["via"]) == (case.action, case.target, "cli")
    assert entry["actor"].startswith("alice@")
    assert entry["db_role"] == "postgres"
    for expected, found in ((case.before, entry["before"]), (case.after, entry["after"])):
        assert found is None if expected is None else found.items() >= expected.items()
    assert entry["before"] or entry["after"]
    assert "bw_" not in str(entry)


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("sites set s --plan premium", "plan standard -> premium, weight 1.0 -> 3.0, priority 0 -> 5"),
        ("pause --stage image --reason r", "image none -> r"),
        ("cancel 1", 'status {"PENDING": 1} -> {"CANCELLED": 1}'),
    ],
)
def test_a_person_sees_what_changed(cli: Any, sql: Any, command: str, change: str) -> None:
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")

    cli(*command.split())

    assert change in " ".join(cli("audit").out.split())


def test_a_running_job_is_recorded_as_asked_to_stop(cli: Any, sql: Any) -> None:
    """Its status is the same until its worker has stopped it."""
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    sql("update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = gen_random_uuid()")

    cli("cancel", "1")

    (entry,) = entries(cli)
    assert entry["before"] == {}
    assert entry["after"] == {"cancel_requested": 1, "jobs": 1, "ids": [1]}


def test_a_prune_that_is_stopped_says_in_the_trail_what_it_has_deleted(cli: Any, sql: Any) -> None:
    """As systemd stops one that has run for too long."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's', 'keyword', n::text from generate_series(1, 1000) as n"
    )
    sql("update blog_generations set status = 'CANCELLED'")
    with subprocess.Popen(
        [sys.executable, "-m", "blogworker", "prune", "--older-than", "0s", "--batch", "1"],
        env=cli.environment,
        cwd=cli.folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as pruning:
        while sql("select count(*) from blog_generations") == [(1000,)]:
            assert pruning.poll() is None
        pruning.terminate()
        _, said = pruning.communicate(timeout=30)

    ((left,),) = sql("select count(*) from blog_generations")
    (entry,) = entries(cli)
    assert (pruning.returncode, "blogworker audit" in said) == (130, True)
    assert (entry["action"], entry["before"]) == ("jobs.prune", {"jobs": 1000 - left})
    assert left > 0


def test_what_was_refused_or_only_read_is_not_recorded(cli: Any, sql: Any) -> None:
    sql("insert into sites (instance_id) values ('s')")
    for command in (
        ["sites", "resume", "s"],
        ["cancel", "99"],
        ["breakers", "close", "openai"],
        ["resume"],
        ["tokens", "revoke", "x"],
        ["status"],
        ["retry", "5"],
        ["prune"],
    ):
        cli(*command)
    assert entries(cli) == []


def test_the_trail_is_filtered(cli: Any) -> None:
    for site, person in (("a", "alice"), ("b", "bob"), ("a", "bob")):
        cli("sites", "set", site, "--weight", "2", SUDO_USER=person)

    host = entries(cli)[0]["actor"].partition("@")[2]
    assert [each["actor"].partition("@")[0] for each in cli("audit", "--target", "a", "--json").json] == [
        "bob",
        "alice",
    ]
    assert len(cli("audit", "--actor", f"bob@{host}", "--json").json) == 2
    assert len(cli("audit", "--limit", "1", "--json").json) == 1


def test_a_job_is_found_in_a_change_of_several_jobs(cli: Any, sql: Any) -> None:
    sql(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's', 'keyword', n::text from generate_series(1, 34) as n"
    )
    assert cli("cancel", "3", "4").code == 0
    assert cli("cancel", "5").code == 0
    assert cli("cancel", "33", "34").code == 0

    found = {
        job: [entry["after"]["ids"] for entry in cli("audit", "--target", job, "--json").json]
        for job in ("job 3", "job 4", "job 5", "job 6", "job 34", "job 03", "3", f"job {10**30}")
    }

    assert found == {
        "job 3": [[3, 4]],
        "job 4": [[3, 4]],
        "job 5": [[5]],
        "job 6": [],
        "job 34": [[33, 34]],
        "job 03": [],
        "3": [],
        f"job {10**30}": [],
    }
