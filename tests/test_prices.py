"""What a call costs: the providers' formula, their tables, and the day a price holds from."""

import json
from datetime import date

import pytest

from blogworker.errors import SettingsError
from blogworker.prices import (
    IMAGE_PRICES,
    TEXT_PRICES,
    TextPrice,
    Usage,
    highest_token_price,
    in_force,
    text_cost,
)
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings

NOVEMBER, DECEMBER = date(2026, 11, 30), date(2026, 12, 1)
CALLS = [
    # model, (input, cached, written, output), tier, USD worked out by hand from the providers' tables
    ("gpt-6-luna", (800, 0, 0, 600), "default", 0.00038),
    ("gpt-6-luna", (1_500, 0, 0, 2_600), None, 0.00145),
    ("gpt-6.1-terra", (800, 0, 0, 600), "default", 0.0038),
    ("gpt-6.1-terra", (1_500, 0, 0, 2_600), "auto", 0.0145),
    ("gpt-5.4-mini", (2_300, 0, 0, 3_200), "default", 0.016125),
    ("gpt-6-luna", (1_000, 400, 100, 200), "default", 0.0001665),  # 500 fresh, 400 read, 100 written, 200 out
    ("gpt-6.1-terra", (10_000, 8_000, 1_000, 1_000), "default", 0.00765),
    ("gpt-5.4", (10_000, 8_000, 0, 1_000), "default", 0.022),
    ("gpt-5.4", (10_000, 0, 1_000, 0), "default", 0.025625),  # no price of its own: 1.25 of input
    ("gpt-6.1-terra", (1_500, 0, 0, 2_600), "flex", 0.00725),
    ("gpt-6.1-terra", (1_500, 0, 0, 2_600), "batch", 0.00725),
    ("gpt-6.1-terra", (1_500, 0, 0, 2_600), "priority", 0.029),
    ("gpt-6.1-terra", (1_500, 0, 0, 2_600), "fast", 0.029),
    ("gpt-6.1-terra", (272_000, 0, 0, 1_000), "default", 0.277),
    ("gpt-6.1-terra", (272_001, 0, 0, 1_000), "default", 0.551502),  # twice the input, half as much again the output
    ("gpt-6.1-terra", (300_000, 200_000, 0, 1_000), "flex", 0.11375),
    ("gpt-6-astra", (0, 0, 0, 0), "default", 0.0),
    ("gpt-6-luna", (100, 150, 0, 0), "default", 0.0000015),  # more cached than there was: nothing is negative
]


@pytest.mark.parametrize(("model", "tokens", "tier", "usd"), CALLS)
def test_a_call_costs_what_the_providers_table_says(model, tokens, tier, usd):
    assert text_cost(TEXT_PRICES[model][0], Usage(*tokens), tier=tier) == pytest.approx(usd, rel=1e-9)


def test_every_built_in_price_says_when_it_was_checked():
    """A table nobody looked at for a year is worse than none: `blogworker costs` warns by this date."""
    rows = [row for table in (TEXT_PRICES, IMAGE_PRICES) for rows in table.values() for row in rows]

    assert len(rows) >= 14
    assert all(row.checked for row in rows)


def test_a_price_applies_from_its_date():
    rows = (
        TextPrice(input=1, cached=0, output=1),
        TextPrice(input=2, cached=0, output=2, since=DECEMBER),
    )

    assert in_force(rows, NOVEMBER).input == 1
    assert in_force(rows, DECEMBER).input == 2
    assert in_force(rows[1:], NOVEMBER) is None
    assert in_force((), DECEMBER) is None
    assert highest_token_price(rows) == 4.5 / 1e6  # cache writes at 1.25 of the input
    assert highest_token_price(()) == 0


def test_the_environment_accepts_the_simple_and_the_dated_form(monkeypatch):
    """A table of one number a model is what most people write; it has worked so from the beginning."""
    simple = {"input": 1, "cached": 0.1, "output": 2}
    dated = [{**simple, "input": 3, "from": "2026-12-01", "checked": "2026-11-20"}, {**simple, "written": 1.5}]
    monkeypatch.setenv("BLOGWORKER_TEXT_PRICES", json.dumps({"a": simple, "b": dated}))
    monkeypatch.setenv("BLOGWORKER_IMAGE_PRICES", '{"o/a": 0.01, "o/b": [{"usd": 0.02, "from": "2026-12-01"}]}')

    text, images = load_section(OpenAISettings).prices, load_section(ReplicateSettings).prices

    assert text["a"] == (TextPrice(input=1, cached=0.1, output=2),)
    assert [row.since for row in text["b"]] == [None, DECEMBER]  # in order, whatever the order they came in
    assert text["b"][0].written == 1.5
    assert (images["o/a"][0].usd, images["o/b"][0].since) == (0.01, DECEMBER)


@pytest.mark.parametrize(
    "table",
    [
        '{"a": {"input": -1, "cached": 0, "output": 0}}',
        '{"a": {"input": 1}}',
        '{"a": {"input": 1, "cached": 0, "output": 0, "outputs": 1}}',
        '{"a": [{"input": 1, "cached": 0, "output": 0}, {"input": 2, "cached": 0, "output": 0}]}',
        '{"a": {"input": 1, "cached": 0, "output": 0, "from": "soon"}}',
        "{broken",
    ],
)
def test_an_implausible_table_is_refused_by_name(monkeypatch, table):
    """A price of nothing would make every budget endless."""
    monkeypatch.setenv("BLOGWORKER_TEXT_PRICES", table)

    with pytest.raises(SettingsError, match="BLOGWORKER_TEXT_PRICES"):
        load_section(OpenAISettings)
