"""The rules of the fleet and those of Prometheus are the same: in their words, and in what they find."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from blogworker.alerts.evaluation import holding_now
from blogworker.alerts.rules import PROMETHEUS_ONLY, RULES, Rule
from blogworker.db.sql import sql_dir
from blogworker.ops.pulse import EndedNow, FleetNow, Pulse, QueueNow
from blogworker.ops.records import BreakerState, QuotaUse, WebhooksNow

ALERTS = Path(str(sql_dir())) / "monitoring" / "alerts.yml"
PROMETHEUS = {rule["alert"]: rule for rule in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]}
SECONDS = {"s": 1, "m": 60, "h": 3_600}
STATES = 60


def test_both_have_the_same_rules() -> None:
    assert [rule.name for rule in RULES] + list(PROMETHEUS_ONLY) == list(PROMETHEUS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_the_same_in_both(rule: Rule) -> None:
    there = PROMETHEUS[rule.name]
    waits = there.get("for", "0s")

    assert " ".join(there["expr"].split()) == rule.expr
    assert int(waits[:-1]) * SECONDS[waits[-1]] == rule.for_s
    assert there["labels"]["severity"] == rule.severity
    assert there["annotations"]["description"] == rule.description
    assert rule.next_step
    assert there["annotations"]["runbook"] == rule.runbook


def pulse(random: Random) -> Pulse:
    """A state of the fleet with values at, just below and just above the thresholds."""

    def near(*limits: float) -> int:
        return max(0, int(random.choice(limits)) + random.choice([-1, 0, 1]))

    def percent() -> float | None:
        return random.choice([None, 89.9, 90.0, 90.1, 100.0])

    def quota(number: int) -> QuotaUse:
        provider = random.choice(["openai", "replicate"])
        return QuotaUse(
            f"{provider}/{number}", provider, 0, 0, 9, percent(), 0, 9, percent(), *(0.0,) * 4, False, *(None,) * 4
        )

    ended = [EndedNow(s, near(0, 600), near(0, 50, 950)) for s in ("DONE", "FAILED") if random.random() < 0.8]
    breakers = [
        BreakerState(f"p{n}", random.choice(["closed", "open", "half_open"]), None, False, *(None,) * 4, 0, 0)
        for n in range(3)
    ]
    wait_s = random.choice([None, float(near(60, 1800))])
    return Pulse(
        queue=QueueNow(0, near(0, 1000, 5000), 0, 0, wait_s, 0, 0, 0),
        fleet=FleetNow(
            *(near(0, 5), *(0,) * 4, near(10), 0, *(0.0,) * 3, None, None, random.random() < 0.5),
            oldest_transaction_s=float(near(0, 600)),
        ),
        ended=ended,
        quotas=[quota(number) for number in range(4)],
        breakers=breakers,
        workers=[],
        running=[],
        paused=[],
        webhooks=WebhooksNow(*(0,) * 7, []),
    )


def series(of: Pulse) -> Iterator[tuple[str, float]]:
    """What `blogworker metrics` prints of it."""
    yield 'blogworker_jobs{status="PENDING"}', of.queue.pending
    yield "blogworker_oldest_wait_seconds", of.queue.oldest_wait_s or 0
    ended = {row.status: row for row in of.ended}
    for status in ("DONE", "FAILED"):
        row = ended.get(status)
        yield f'blogworker_jobs_ended_last_minute{{status="{status}"}}', row.last_minute if row else 0
        yield f'blogworker_jobs_ended_last_hour{{status="{status}"}}', row.last_hour if row else 0
    for quota in of.quotas:
        for counts, percent in (("requests", quota.requests_percent), ("tokens", quota.tokens_percent)):
            if percent is not None:
                labels = f'quota="{quota.name}", provider="{quota.provider}", counts="{counts}"'
                yield f"blogworker_quota_used_ratio{{{labels}}}", percent / 100
    for breaker in of.breakers:
        for state in ("closed", "open", "half_open"):
            labels = f'provider="{breaker.provider}", state="{state}"'
            yield f"blogworker_breaker_state{{{labels}}}", float(breaker.state == state)
    yield 'blogworker_workers{state="alive"}', of.fleet.alive
    yield "blogworker_budget_reached", float(of.fleet.budget_reached)
    yield "blogworker_pool_waiting_callers", of.fleet.pool_waiting
    yield "blogworker_database_oldest_transaction_seconds", of.fleet.oldest_transaction_s


def case(of: Pulse) -> dict[str, Any]:
    found = [each["rule"] for each in holding_now(of)]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value!r}x1"} for name, value in series(of)],
        "promql_expr_test": [
            {
                "expr": f"count({PROMETHEUS[rule.name]['expr']}) or vector(0)",
                "eval_time": "0m",
                "exp_samples": [{"labels": "{}", "value": found.count(rule.name)}],
            }
            for rule in RULES
        ],
    }


def test_the_generated_states_meet_every_rule_on_both_sides() -> None:
    found = [{each["rule"] for each in holding_now(pulse(Random(seed)))} for seed in range(STATES)]

    for rule in RULES:
        holding = sum(rule.name in each for each in found)
        assert 0 < holding < STATES, rule.name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_finds_the_same_in_the_same_states(tmp_path: Path) -> None:
    tests = tmp_path / "tests.yml"
    tests.write_text(json.dumps({"tests": [case(pulse(Random(seed))) for seed in range(STATES)]}), encoding="utf-8")

    ran = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
