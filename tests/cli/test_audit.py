"""Every change is recorded with who made it, and what was before and after."""

from typing import Any

import pytest

OPENAI = "update provider_health set state = 'open', reason = 'down' where provider = 'openai'"
WORKER = (
    "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
    "values (gen_random_uuid(), 'w', 'h', 1, '1', 5, now() + interval '1 h')"
)
PAUSE = "insert into stage_pauses values ('image', 'r')"
HOOK = "insert into webhooks (name, url, events) values ('w', 'https://x.example.com', '{done}')"
QUOTA = "insert into quotas (name, provider, requests_per_minute) values ('openai/m', 'openai', 40)"


def entries(cli: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("audit", "--json").json
    return found


@pytest.mark.parametrize(
    ("before", "command", "action", "target", "change"),
    [
        ("", ["sites", "pause", "s", "--reason", "r"], "site.pause", "s", "reason r"),
        ("update sites set paused_at = now()", ["sites", "resume", "s"], "site.resume", "s", None),
        ("", ["sites", "set", "s", "--weight", "2"], "site.set", "s", "weight 1.0 -> 2.0"),
        (
            "",
            ["sites", "set", "s", "--plan", "premium"],
            "site.set",
            "s",
            "plan standard -> premium, weight 1.0 -> 3.0, priority 0 -> 5",
        ),
        ("", ["plans", "set", "premium", "--weight", "4"], "plan.set", "premium", "weight 3.0 -> 4.0"),
        ("", ["plans", "remove", "premium"], "plan.remove", "premium", None),
        ("", ["sites", "set", "s", "--budget-day", "5"], "site.set", "s", "budget_day_usd none -> 5.0"),
        ("", ["costs", "budget", "--day", "9"], "budget.set", None, "day_usd none -> 9.0"),
        (OPENAI, ["breakers", "close", "openai"], "breaker.close", "openai", "state open -> none, reason down -> none"),
        (
            QUOTA,
            ["quotas", "set", "openai/m", "--rpm", "50"],
            "quota.set",
            "openai/m",
            "pinned false -> true, requests_per_minute 40 -> 50",
        ),
        ("", ["cancel", "1"], "jobs.cancel", "job 1", "ids [1], jobs 1"),
        ("update blog_generations set status = 'FAILED'", ["retry", "1", "--yes"], "jobs.retry", "job 1", None),
        ("", ["pause", "--stage", "image", "--reason", "r"], "stages.pause", "image", "reason r"),
        (
            "insert into stage_pauses values ('image', 'r')",
            ["resume", "--stage", "image"],
            "stages.resume",
            "image",
            None,
        ),
        (WORKER, ["workers", "quiet", "w", "--reason", "r"], "worker.quiet", "w", "reason r"),
        (
            "",
            ["webhooks", "add", "w", "--url", "https://x.example.com", "--event", "done"],
            "webhook.add",
            "w",
            None,
        ),
        (HOOK, ["webhooks", "remove", "w"], "webhook.remove", "w", None),
        (HOOK, ["webhooks", "pause", "w", "--reason", "r"], "webhook.pause", "w", "reason r"),
        (HOOK, ["webhooks", "resume", "w"], "webhook.resume", "w", "given_up false"),
        ("", ["tokens", "create", "t", "--scope", "read"], "token.create", "t", None),
    ],
)
def test_a_change_is_recorded(
    cli: Any, sql: Any, before: str, command: list[str], action: str, target: str | None, change: str | None
) -> None:
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    if before:
        sql(before)

    ran = cli(*command, SUDO_USER="alice")

    assert ran.code == 0, ran.err
    (entry,) = entries(cli)
    assert (entry["action"], entry["target"], entry["via"]) == (action, target, "cli")
    assert entry["actor"].startswith("alice@")
    assert entry["db_role"] == "postgres"
    if change is not None:
        assert change in cli("audit").out
    assert "bw_" not in str(entry)


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
