"""Costs and budgets at the command line, and the errors of wrong amounts."""

import json
from datetime import UTC, datetime

import pytest

DONE, FAILED, USAGE = 0, 1, 2
LEDGER = """
insert into provider_usage (
    hour, provider, model, instance_id, requests, tokens_in, tokens_cached, tokens_out, cost_usd, wasted, wasted_usd,
    unpriced
)
values
    (date_trunc('hour', now()), 'openai', 'gpt-6.1-terra', 'shop-a', 10, 9000, 4000, 3000, 1.5, 2, 0.25, 0),
    (date_trunc('hour', now()), 'openai', 'gpt-6-luna', 'shop-b', 4, 800, 0, 100, 0.01, 0, 0, 0),
    (date_trunc('hour', now()), 'openai', 'gpt-9', 'shop-b', 3, 70, 0, 20, 0, 0, 0, 3),
    (now() - interval '100 days', 'openai', 'gpt-6.1-terra', 'shop-a', 1, 1, 1, 1, 40, 0, 0, 0);
insert into blog_generations (instance_id, source_type, source_id) values ('shop-a', 'keyword', 'k');
insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values ('w', '00000000-0000-0000-0000-000000000001', 'h', 1, '0', 1, now());
update blog_generations
set status = 'PROCESSING', attempt = 1, worker_id = '00000000-0000-0000-0000-000000000001';
insert into generation_errors (generation_id, attempt, stage, kind, message, provider, retryable) values
    (1, 1, 'content', 'OutcomeUnknown', 'm', 'openai', true), (1, 1, 'publish', 'OutcomeUnknown', 'm', 'wix', true);
insert into generation_stages (generation_id, stage, output, cost_usd, attempt) values
    (1, 'content', '{}', 0.3, 1), (1, 'image', '{}', 0.08, 1), (1, 'source', '{}', null, 1);
update blog_generations set status = 'DONE';
"""


@pytest.fixture
def ledger(sql) -> None:
    for statement in LEDGER.split(";\n"):
        if statement.strip():
            sql(statement)


def complained(ran, of: str) -> None:
    assert (ran.code, ran.out, len(ran.complaints)) == (USAGE, "", 1), ran
    assert of in ran.err


def test_costs_are_shown_by_model_time_and_site_with_the_waste(cli, ledger):
    found = cli("costs", "--json").json

    assert [(row["model"], row["cost_usd"]) for row in found["models"]] == [
        ("gpt-6.1-terra", 1.5), ("gpt-6-luna", 0.01), ("gpt-9", 0.0),
    ]  # fmt: skip
    assert found["models"][0] | {"tokens_in": 9000, "tokens_cached": 4000, "tokens_out": 3000} == found["models"][0]
    assert (found["models"][0]["wasted"], found["models"][0]["wasted_usd"]) == (2, 0.25)
    assert [row["cost_usd"] for row in found["periods"]] == [1.51]
    assert [(row["instance_id"], row["cost_usd"]) for row in found["sites"]] == [("shop-a", 1.5), ("shop-b", 0.01)]
    jobs = {key: found["jobs"][key] for key in ("done", "unanswered", "cut_off")}
    assert jobs == {"done": 1, "unanswered": 1, "cut_off": 0}  # a draft on Wix is not billed
    assert any("no price for gpt-9" in warning for warning in found["warnings"])


def test_the_text_output_has_the_same_figures(cli, ledger):
    cli("costs", "budget", "--day", "5", "--month", "100")

    page = cli("costs").out

    expected = ["$1.51 spent, $3.49 left of a budget of $5.00", "1, which cost $0.38", "$0.25 (16.6 %) in 2 calls"]
    for words in (*expected, "1 call without an answer", "gpt-6.1-terra", "shop-b", "2026-11-23", "no price for gpt-9"):
        assert words in page, (words, page)


def test_a_blog_s_average_is_of_finished_blogs_and_of_enough_of_them(cli, sql):
    """It divided all spending by the few finished blogs, so early on it included the cost of blogs in progress."""
    sql(
        "insert into provider_usage (hour, provider, model, instance_id, requests, cost_usd) "
        "values (date_trunc('hour', now()), 'openai', 'gpt-6-luna', 'shop', 100, 9.5)"
    )
    sql(
        "with made as (insert into blog_generations (instance_id, source_type, source_id, status, finished_at) "
        "select 'shop', 'keyword', n::text, 'DONE', now() from generate_series(1, 12) as n returning id) "
        "insert into generation_stages (generation_id, stage, output, cost_usd, attempt) "
        "select m.id, 'content', '{}', 0.0125, 1 from made as m"
    )

    assert "12, about $0.0125 each" in cli("costs").out
    jobs = cli("costs", "--json").json["jobs"]
    assert (jobs["done"], jobs["done_seen"], jobs["done_usd"]) == (12, 12, 0.15)

    sql("delete from blog_generations where source_id::integer > 3")
    assert "3, which cost $0.0375" in cli("costs").out


def test_without_a_budget_no_remainder_is_shown(cli):
    """0 would mean that nothing may be spent any more, but there is no limit."""
    spending = cli("costs", "budget", "--json").json
    assert (spending["left_today_usd"], spending["left_month_usd"]) == (None, None)

    spending = cli("costs", "budget", "--day", "5", "--json").json
    assert (spending["left_today_usd"], spending["left_month_usd"]) == (5, None)

    spending = cli("costs", "budget", "--day", "0", "--json").json
    assert spending["left_today_usd"] == 0


def test_costs_can_be_limited_to_a_site_and_months(cli, ledger):
    found = cli("costs", "--site", "shop-a", "--days", "200", "--by", "month", "--json").json

    assert [row["instance_id"] for row in found["sites"]] == ["shop-a"]
    assert [row["cost_usd"] for row in found["periods"]] == [1.5, 40.0]
    assert found["periods"][0]["begins"] == datetime.now(UTC).strftime("%Y-%m-01")


def test_costs_work_on_the_first_day(cli):
    ran = cli("costs")

    assert (ran.code, ran.err) == (DONE, "")
    assert "$0.00 spent, no budget" in ran.out


def test_a_total_budget_is_set_shown_and_removed(cli, sql):
    assert cli("costs", "budget", "--day", "5", "--month", "$120.50", "--json").json["budget_month_usd"] == 120.5
    assert sql("select day_usd, month_usd from fleet_budget") == [(5, 120.5)]

    cli("costs", "budget", "--day", "none")

    assert sql("select day_usd, month_usd from fleet_budget") == [(None, 120.5)]
    assert "no budget" in cli("costs", "budget").out
    assert sql("select day_usd, month_usd from fleet_budget") == [(None, 120.5)]


def test_an_exhausted_budget_is_shown_in_status_and_ended_by_a_raise(cli, sql):
    cli("costs", "budget", "--day", "1")
    sql("update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'no room for a job'")
    assert "no room for a job" in cli("status").out
    assert cli("status", "--json").json["fleet"]["budget_day_usd"] == 1

    cli("costs", "budget", "--day", "2")

    assert cli("status", "--json").json["fleet"]["stop_reason"] is None


def test_the_budget_of_a_site_is_set_kept_and_removed(cli, sql):
    ran = cli("sites", "set", "shop", "--budget-day", "5", "--budget-month", "50.5")
    assert "$5.00 per day, $50.50 per month" in ran.out

    cli("sites", "set", "shop", "--weight", "2")
    assert sql("select budget_day_usd, budget_month_usd from sites") == [(5, 50.5)]

    cli("sites", "set", "shop", "--budget-day", "NONE")
    assert sql("select budget_day_usd, budget_month_usd from sites") == [(None, 50.5)]


def test_raising_the_budget_of_a_site_resumes_it(cli, sql):
    cli("sites", "set", "shop", "--budget-day", "5")
    sql("update sites set paused_at = now(), pause_reason = 'spent', resume_at = now() + interval '1 day'")

    ran = cli("sites", "set", "shop", "--budget-day", "10", "--json")

    assert (ran.json[0]["paused_at"], ran.json[0]["resume_at"]) == (None, None)


@pytest.mark.parametrize("amount", ["-1", "five", "nan", "inf", "", "0.0000001", "1e12", "5,00", "5 USD"])
def test_an_implausible_amount_is_refused_in_one_line(cli, sql, amount):
    """Nothing is changed: a misread budget spends money."""
    complained(cli("costs", "budget", f"--month={amount}", "--day=5"), "--month")
    complained(cli("sites", "set", "shop", f"--budget-day={amount}"), "--budget-day")

    assert sql("select day_usd from fleet_budget") == [(None,)]
    assert sql("select count(*) from sites") == [(0,)]


@pytest.mark.parametrize(
    "arguments", [["--days", "0"], ["--by", "week"], ["--top", "0"]], ids=lambda arguments: arguments[0]
)
def test_an_option_out_of_range_is_refused(cli, arguments):
    assert cli("costs", *arguments).code == USAGE


def test_a_price_table_that_is_wrong_is_named(cli):
    complained(cli("costs", BLOGWORKER_TEXT_PRICES="{broken"), "BLOGWORKER_TEXT_PRICES: not JSON")
    table = json.dumps({"m": {"input": -1, "cached": 0, "output": 0}})
    complained(cli("costs", BLOGWORKER_TEXT_PRICES=table), "BLOGWORKER_TEXT_PRICES: m: 0: input: ")


def test_prices_unchecked_for_months_are_named(cli):
    row = {"input": 1, "cached": 0, "output": 1, "checked": "2020-01-01"}
    table = json.dumps({"gpt-6-luna": row, "gpt-6.1-terra": {**row, "from": "2999-01-01"}})

    warnings = cli("costs", "--json", BLOGWORKER_TEXT_PRICES=table).json["warnings"]

    assert any("not checked for more than 92 days: gpt-6-luna" in warning for warning in warnings)
    assert any("no price for gpt-6.1-terra" in warning for warning in warnings)  # not in force yet
