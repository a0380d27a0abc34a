"""`blogworker plans`, and plans in `blogworker sites`."""

from .conftest import Cli, Rows


def test_a_plan_is_made_given_to_a_site_and_removed(cli: Cli) -> None:
    made = cli(
        *("plans", "set", "gold", "--weight", "4", "--priority", "2", "--max-in-flight", "9"),
        *("--budget-day", "5", "--quota-share", "0.25"),
    )
    cli("sites", "set", "s", "--plan", "gold", "--weight", "8")

    assert (made.code, made.err) == (0, "")
    assert "25 %" in made.out
    plans = {plan["name"]: plan for plan in cli("plans", "list", "--json").json}
    assert plans.keys() == {"gold", "premium", "standard"}
    assert plans["gold"]["sites"] == 1
    changed = cli("plans", "set", "gold", "--max-in-flight", "none", "--quota-share", "none", "--json").json
    assert (changed[0]["max_in_flight"], changed[0]["quota_share"], changed[0]["budget_day_usd"]) == (None, None, 5)

    refused = cli("plans", "remove", "gold")
    assert (refused.code, refused.complaints) == (
        2,
        ["blogworker: plan gold stays: 1 site has it; see `blogworker sites set SITE --plan`"],
    )
    cli("sites", "set", "s", "--plan", "standard")
    assert cli("plans", "remove", "gold").code == 0
    assert cli("plans", "remove", "gold").code == 2
    assert "new sites get it" in cli("plans", "remove", "standard").err


def test_a_site_shows_which_values_are_its_plans(cli: Cli) -> None:
    cli("plans", "set", "gold", "--weight", "4", "--max-in-flight", "9", "--budget-day", "5")
    cli("sites", "set", "s", "--plan", "gold", "--max-in-flight", "3", "--budget-month", "60")

    shown = {
        line.split("  ")[0].strip(): line.split("  ")[-1].strip() for line in cli("sites", "show", "s").out.splitlines()
    }
    assert (shown["plan"], shown["weight"], shown["jobs that may run"]) == ("gold", "4 (plan)", "3")
    assert shown["budget"] == "$5.00 per day (plan), $60.00 per month"
    listed = cli("sites", "list").out
    assert "4 (plan)" in listed
    assert "3 (plan)" not in listed
    found = cli("sites", "show", "s", "--json").json
    assert found["own"] == {"max_in_flight": 3, "budget_month_usd": 60}

    cli("sites", "set", "s", "--from-plan", "max-in-flight", "--from-plan", "budget-month")
    assert cli("sites", "show", "s", "--json").json["own"] == {}
    cli("sites", "set", "s", "--weight", "2", "--priority", "1", "--max-pending", "7", "--budget-day", "9")
    assert len(cli("sites", "show", "s", "--json").json["own"]) == 4
    cli("sites", "set", "s", "--from-plan", "all")
    assert cli("sites", "show", "s", "--json").json["own"] == {}


WRONG = [
    (["sites", "set", "s", "--plan", "premum"], "there is no plan premum; known are premium"),
    (["sites", "set", "s", "--from-plan", "colour"], "--from-plan 'colour' is not a value of a plan"),
    (["sites", "show", "t"], "there is no site t; known are s"),
    (["plans", "set", "gold", "--max-in-flight", "0"], "--max-in-flight '0' is not a limit"),
    (["plans", "set", "gold", "--max-pending", "9" * 20], "is not a limit: use a number from 1 to"),
    (["plans", "set", "gold", "--quota-share", "nan"], "--quota-share 'nan' is not a share"),
    (["plans", "set", "gold", "--budget-day", "much"], "--budget-day 'much' is not a budget"),
    (["plans", "set", " "], "the name of the plan is empty"),
    (["plans", "set", "g" * 101], "plan has 101 characters"),
    (["plans", "remove", "gold"], "there is no plan gold"),
]


def test_a_wrong_value_is_refused_in_one_line_and_changes_nothing(cli: Cli, sql: Rows) -> None:
    sql("insert into sites (instance_id) values ('s')")
    state = "select to_jsonb(s) from sites as s union all select to_jsonb(p) from plans as p"
    before = sql(state)

    for words, complaint in WRONG:
        ran = cli(*words)
        assert (ran.code, len(ran.complaints)) == (2, 1), words
        assert complaint in ran.err
    assert sql(state) == before
