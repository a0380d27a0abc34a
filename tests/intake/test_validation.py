"""Every refusal of the table is told in words before the table is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from blogworker.queue.validation import NewJob, faults

KEYWORD = NewJob("site", "keyword", None, {"keyword": "sourdough"})


@pytest.mark.parametrize(
    "blog",
    [
        KEYWORD,
        NewJob("site", "keyword", "sourdough", {}),
        NewJob("site", "keyword", None, {"keyword": 1984}),
        NewJob("site", "product", "p1", {}),
        NewJob("site", "product", None, {"name": "Lamp", "tags": ["a", None, 1.5, {"deep": True}]}),
        NewJob("site", "text", None, {"text": "We open on Sunday. 🎉"}),
        replace(KEYWORD, priority=-32768, run_at=datetime.now(UTC), idempotency_key="k" * 200, max_attempts=1),
    ],
)
def test_a_good_blog_has_no_faults(blog: NewJob) -> None:
    assert faults(blog) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source_type": "poem"}, "source_type 'poem' is unknown: use keyword, product, text"),
        ({"source_data": {}}, "a keyword job needs its keyword"),
        ({"source_data": {"keyword": " "}, "source_id": "ignored, as the table ignores it"}, "needs its keyword"),
        ({"source_data": {"keyword": ["a"]}}, "needs its keyword"),
        ({"source_data": {"keyword": "k" * 9_000}}, "a keyword of 9,000 characters: at most 200 are allowed"),
        ({"source_data": {}, "source_id": "k" * 201}, "a keyword of 201 characters: at most 200 are allowed"),
        ({"source_type": "product"}, "a product job needs source_data.name, or a source_id"),
        ({"source_type": "text"}, "a text job needs its text"),
        ({"source_data": {"keyword": "\u200b\ufeff\u2060"}}, "a keyword job needs its keyword"),
        ({"instance_id": ""}, "instance_id is missing"),
        ({"instance_id": "s" * 201}, "instance_id has 201 characters: at most 200"),
        ({"source_id": "s" * 501}, "source_id has 501 characters"),
        ({"source_id": "a\0b"}, "source_id holds a NUL character"),
        ({"source_data": {"keyword": "a", "more": [{"b": "\0"}]}}, "source_data.more[0].b holds a NUL character"),
        ({"source_data": {"keyword": "a", "\0": 1}}, "a key of source_data holds a NUL character"),
        ({"source_data": {"keyword": "a\ud800"}}, "source_data.keyword holds half of a surrogate pair"),
        ({"source_data": {"keyword": "a", "more": float("nan")}}, "source_data.more is nan"),
        ({"source_data": {"keyword": "a", "more": float("-inf")}}, "source_data.more is -inf"),
        ({"source_data": {"keyword": "a", 5: 1}}, "a key of source_data"),
        ({"source_data": {"keyword": "a", "when": datetime.now(UTC)}}, "source_data.when is a datetime"),
        ({"source_data": ["keyword"]}, "source_data must be a JSON object, not a list"),
        ({"source_data": None}, "source_data must be a JSON object, not null"),
        ({"priority": 32768}, "priority must be a whole number from -32,768 to 32,767"),
        ({"priority": True}, "priority must be a whole number"),
        ({"max_attempts": 0}, "max_attempts must be a whole number from 1"),
        ({"idempotency_key": ""}, "idempotency_key is empty"),
        ({"idempotency_key": "k" * 201}, "idempotency_key has 201 characters"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at has no time zone"),  # noqa: DTZ001
        ({"publish_at": datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=16)))}, "publish_at has an offset"),
    ],
)
def test_a_bad_blog_is_told_what_to_change(change: dict[str, Any], told: str) -> None:
    assert told in "\n".join(faults(replace(KEYWORD, **change)))


def test_source_data_is_measured_as_the_table_measures_it() -> None:
    """jsonb puts a space behind each colon, keeps letters as they are, and writes 1e300 out in full."""
    frame = len('{"text": ""}')
    text = NewJob("site", "text", None, {})
    fits = replace(text, source_data={"text": "é" * ((65_536 - frame) // 2)})
    over = replace(text, source_data={"text": "x" * (65_537 - frame)})
    exponents = replace(KEYWORD, source_data={"keyword": "x", "numbers": [1e300] * 300})

    assert faults(fits) == []
    assert faults(over) == ["source_data has 65,537 bytes: at most 65,536 are allowed"]
    assert "bytes: at most" in faults(exponents)[0]


def test_endless_and_very_deep_data_are_refused() -> None:
    endless: dict[str, Any] = {"keyword": "a"}
    endless["self"] = endless
    deep: dict[str, Any] = {"keyword": "a"}
    for _ in range(50_000):
        deep = {"keyword": "a", "deeper": deep}

    assert "nested more than 32 levels deep" in faults(replace(KEYWORD, source_data=endless))[0]
    assert "nested more than 32 levels deep" in faults(replace(KEYWORD, source_data=deep))[0]
