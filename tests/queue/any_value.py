"""Whatever the columns of the tables that producers write can hold, as PostgreSQL reads it from text."""

import json
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

Way = Literal["insert", "copy", "update", "enqueue"]
Value = str | None

ODD_INTEGERS = [0, 1, -1, 2**15 - 1, -(2**15), 10**9, 2 * 10**9, 2**31 - 1, -(2**31), 2**63 - 1]
integers = (
    st.sampled_from(ODD_INTEGERS).map(str) | st.integers(-(2**63), 2**63 - 1).map(str) | st.integers(0, 100).map(str)
)
ODD_FLOATS = ["NaN", "Infinity", "-Infinity", "1e308", "-1e308", "3.4e38", "1e-307", "1e-37", "0", "1e15", "0.001"]
floats = st.sampled_from(ODD_FLOATS) | st.floats(allow_nan=False, width=32).map(repr) | st.floats(0, 100).map(repr)
numerics = floats | st.sampled_from(["1" * 5000, "99999999.999999", "0." + "1" * 5000, "1e130000"])
ODD_TIMES = [
    *("infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "0001-01-01 00:00:00+00 BC", "0001-01-01 00:00:00+00"),
    *("0001-01-01 00:00:00+14", "9999-12-31 23:59:59.999999+00", "9999-12-31 23:59:59-05", "10000-01-01 00:00:00+00"),
    *("294276-12-31 23:59:59+00", "1970-01-01 00:00:00+00", "now", "tomorrow", "yesterday", "2026-02-30 00:00+00"),
]
times = st.sampled_from(ODD_TIMES) | st.datetimes().map(lambda time: f"{time.isoformat()}+00")
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD_TEXTS = ["", " ", "\n", "\x1b[31m", "[red]a[/red]", "[/]", "{}", "%s", "a\u202eb", "\ufeff", "🎉" * 70, "\\N"]
texts = (
    st.text(characters, max_size=30)
    | st.sampled_from(ODD_TEXTS)
    | st.sampled_from([200, 201, 500, 501, 2_001, 10_000, 10_001, 70_000]).map(lambda length: "x" * length)
)
ODD_JSON = [
    *("null", "1", '"a"', "[]", '{"keyword": ""}', '{"keyword": null}', '{"keyword": {"a": 1}}', '{"keyword": [1]}'),
    *(f'{{"keyword": "a", "n": {number}}}' for number in ("1" * 4_000, "1" * 5_000, "-1e309", "1e5000", "1e-5000")),
    *(f'{{"keyword": "a", "n": {"[" * n}{"]" * n}}}' for n in (20, 31, 32, 33, 500, 2_000, 5_000)),
    *('{"a":' * n + "1" + "}" * n for n in (31, 32, 33, 34, 2_000)),
    '{"keyword": "' + "[" * 5_000 + '"}',
    '{"keyword": "a", "keyword": "b", "": "", "\\u0001": "\\ud83d\\ude00"}',
    '{"needs": {"leads": ["a", null, 1e400], "buckets": [1], "tokens": "x", "blog_s": "NaN"}}',
    json.dumps({"keyword": "k", "numbers": list(range(11_000))}),
    json.dumps({"keyword": "k" * 66_000}),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(characters),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=8), inner, max_size=4),
    max_leaves=12,
)
words = ("keyword", "name", "text", "language", "tone", "image_trouble", "publish_mode", "words", "brand_words")
jsons = (
    st.sampled_from(ODD_JSON)
    | anything.map(json.dumps)
    | st.dictionaries(st.sampled_from(words), anything, max_size=4).map(json.dumps)
)
booleans = st.sampled_from(["true", "false"])
ids = st.uuids().map(str)


def array(values: list[str]) -> str:
    return "{" + ",".join(values) + "}"


def known(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names) | texts


TIMES = ("run_at", "created_at", "claimed_at", "finished_at", "cancel_requested_at")
BLOG = {
    "id": ("bigint", integers),
    "instance_id": ("text", texts),
    "source_type": ("text", known("keyword", "product", "text")),
    "source_id": ("text", texts),
    "source_data": ("jsonb", jsons),
    "status": ("text", known("SCHEDULED", "PENDING", "PROCESSING", "DONE", "FAILED", "CANCELLED")),
    "stage": ("text", known("source", "ideas", "content", "image", "publish")),
    **dict.fromkeys(
        ("attempt", "failures", "rescues", "lone_rescues", "max_attempts", "held_for"), ("integer", integers)
    ),
    **dict.fromkeys(("priority", "line"), ("smallint", integers)),
    **dict.fromkeys(TIMES, ("timestamptz", times)),
    "worker_id": ("uuid", ids),
    "error": ("text", texts),
    "idempotency_key": ("text", texts),
    "held_usd": ("numeric", numerics),
    "charged": ("real", floats),
    "publish_mode": ("text", known("publish", "draft")),
    "added_by": ("text", texts),
}
SITE = {
    "name": ("text", texts),
    "plan": ("text", known("standard", "premium")),
    "settings": ("jsonb", jsons),
    "pause_reason": ("text", texts),
    "paused_for": ("text", texts),
    "virtual_time": ("double precision", floats),
    "stage_times": ("double precision[]", st.lists(floats, min_size=3, max_size=4).map(array)),
    **dict.fromkeys(("weight", "turn_cost", "own_weight", "own_quota_share"), ("real", floats)),
    **dict.fromkeys(("priority", "own_priority"), ("smallint", integers)),
    **dict.fromkeys(
        ("max_in_flight", "max_pending", "own_max_in_flight", "own_max_pending", "share_cap"), ("integer", integers)
    ),
    **dict.fromkeys(("paused_at", "created_at", "ready_at", "resume_at", "capped_until"), ("timestamptz", times)),
    **dict.fromkeys(("ready", "at_cap"), ("boolean", booleans)),
    **dict.fromkeys(
        ("budget_day_usd", "budget_month_usd", "own_budget_day_usd", "own_budget_month_usd"), ("numeric", numerics)
    ),
}
TIMED = {"publish_at": ("timestamptz", times), "created_at": ("timestamptz", times)}
ENQUEUED = {
    **{name: BLOG[name] for name in ("source_type", "source_id", "source_data", "run_at", "idempotency_key")},
    **dict.fromkeys(("priority", "max_attempts", "queue_size_limit"), ("integer", integers)),
    "publish_at": ("timestamptz", times),
    **{name: BLOG[name] for name in ("publish_mode", "added_by")},
}
TABLES = {"blog_generations": BLOG, "sites": SITE, "scheduled_blogs": TIMED}


@dataclass(frozen=True)
class Write:
    """One statement of a producer that writes to the tables: values as text, by column."""

    way: Way
    table: str
    values: dict[str, Value]
    types: dict[str, str]


def _values(columns: dict[str, tuple[str, st.SearchStrategy[str]]]) -> st.SearchStrategy[dict[str, Value]]:
    some = st.lists(st.sampled_from(sorted(columns)), min_size=1, max_size=3, unique=True)
    return some.flatmap(lambda names: st.fixed_dictionaries({name: st.none() | columns[name][1] for name in names}))


def _write(way: Way, table: str, columns: dict[str, tuple[str, st.SearchStrategy[str]]]) -> st.SearchStrategy[Write]:
    types = {name: kind for name, (kind, _) in columns.items()}
    return _values(columns).map(lambda values: Write(way, table, values, types))


writes = st.one_of(
    *(_write(way, table, columns) for table, columns in TABLES.items() for way in ("insert", "copy", "update")),
    _write("enqueue", "blog_generations", ENQUEUED),
)
