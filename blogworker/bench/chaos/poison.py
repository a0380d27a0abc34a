"""Poisoned rows: valid SQL that a worker may not be able to read, to compute with or to store.

Each row differs from a normal one in one value. The database may refuse it. If the database accepts it, it must not
affect any other job. A poisoned job may be published, may end FAILED with a reason, or may wait for a distant time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import psycopg

from blogworker.bench.chaos.producers import until_success
from blogworker.db.pool import Database
from blogworker.db.retrying import is_transient

SITE = "poison-"  # prefix of every poisoned site, also in chaos_state.sql, chaos_jobs.sql and chaos_reset.sql
PROGRAM_LIMITS = "54"  # SQLSTATE class, e.g. for deep nesting: operational errors in psycopg, but not transient
MAX_INTEGER = 2**31 - 1
DIGITS = "9" * 5_000
TIMES = ("infinity", "-infinity", "294276-12-31 23:59:59+00", "4713-01-01 00:00:00+00 BC", "0001-06-01 00:00:00+00 BC")
DEFAULT_JOB: Mapping[str, Any] = {
    "source_type": "keyword",
    "source_data": "{}",
    "stage": "source",
    "priority": 0,
    "attempt": 0,
    "failures": 0,
    "rescues": 0,
    "max_attempts": 5,
    "run_at": "now",
    "created_at": "now",
    "cancel_requested_at": None,
    "publish_at": None,
    "saved_stage": None,
    "saved": None,
}
DEFAULT_SITE: Mapping[str, Any] = {
    "weight": "1",
    "virtual_time": "0",
    "ready_at": None,
    "max_in_flight": None,
    "max_pending": None,
    "settings": "{}",
}

Poison = tuple[str, Mapping[str, Any]]


class Poisoner:
    """Inserts sets of poisoned rows, and records which rows the database accepted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sets = 0
        self.accepted: set[str] = set()  # topics
        self.refused: Counter[str] = Counter()  # by the SQLSTATE of the refusal

    async def insert(self) -> None:
        """Insert one set. Each row has its own site."""
        self._sets += 1
        for number, (name, poison) in enumerate(poisons()):
            key = {"instance_id": f"{SITE}{self._sets}-{number}", "topic": f"poison {self._sets}: {name}"}
            key |= {column: poison[column] for column in key if column in poison}
            site = {column: poison[column] for column in DEFAULT_SITE if column in poison}
            job = {column: poison.get(column, default) for column, default in DEFAULT_JOB.items()}
            refusal = None
            if site:
                site = {"instance_id": key["instance_id"], **DEFAULT_SITE, **site}
                refusal = await until_success(partial(self._refusal, "bench/chaos_poison_site", **site))
            if refusal is None:
                refusal = await until_success(partial(self._refusal, "bench/chaos_poison", **key, **job))
            if refusal is None:
                self.accepted.add(key["topic"])
            else:
                self.refused[refusal] += 1

    async def _refusal(self, statement: str, /, **row: object) -> str | None:
        """Insert a row. Return the SQLSTATE of the refusal, or None if the database accepted it."""
        try:
            await self._database.execute(statement, **row)
        except psycopg.Error as error:
            limit = (error.sqlstate or "").startswith(PROGRAM_LIMITS)
            if is_transient(error) and not limit:
                raise
            return error.sqlstate or type(error).__name__
        return None


def poisons() -> Iterator[Poison]:
    """Yield the name of each row and its abnormal values by column."""
    yield from _numbers()
    yield from _nested()
    yield from _times()
    yield from _counts()
    yield from _texts()
    yield from _shapes()
    yield from _checkpoints()
    yield from _sites()


def _numbers() -> Iterator[Poison]:
    numbers = {"5,000 digits": DIGITS, "-5,000 digits": f"-{DIGITS}", "1e60000": "1e60000", "1e-5000": "1e-5000"}
    numbers |= {"1e400": "1e400", "5,000 digits after the point": f"0.{DIGITS}", "1e999999999": "1e999999999"}
    for name, number in numbers.items():
        yield f"a field of {name}", {"source_data": f'{{"keyword": "big numbers", "price": {number}}}'}
        yield f"a keyword of {name}", {"source_data": f'{{"keyword": {number}}}'}
    product = f'{{"name": "Mug", "price": {DIGITS}, "images": [{DIGITS}]}}'
    yield "a product's price of 5,000 digits", {"source_type": "product", "source_data": product}


def _nested() -> Iterator[Poison]:
    for depth in (900, 1_500, 6_000, 30_000):
        yield f"lists {depth} deep", {"source_data": f'{{"keyword": "deep", "x": {"[" * depth}{"]" * depth}}}'}
    for depth in (900, 1_500, 6_000):
        nested = '{"a":' * depth + "1" + "}" * depth
        yield f"objects {depth} deep", {"source_data": f'{{"keyword": "deep", "x": {nested}}}'}


def _times() -> Iterator[Poison]:
    for column in ("run_at", "created_at", "cancel_requested_at", "publish_at"):
        for time in TIMES:
            yield f"{column} {time}", {column: time}


def _counts() -> Iterator[Poison]:
    for number in (-1, MAX_INTEGER - 1, MAX_INTEGER, MAX_INTEGER + 1):
        for column in ("attempt", "failures", "rescues", "max_attempts"):
            yield f"{column} {number}", {column: number}
    for number in (-(2**15), 2**15 - 1, 2**15):
        yield f"priority {number}", {"priority": number}


def _texts() -> Iterator[Poison]:
    for name, text in {
        "control characters": "".join(map(chr, range(1, 32))) + "x",
        "characters of no width": "\u200b\u200d\ufeff",
        "right to left": "\u202e\u05d0\u05d1 curtains \u202c",
        "noncharacters": "\uffff\ufdd0\U0010ffff",
        "marks upon marks": "a" + "\u0301" * 400,
        "four-byte characters": "\U0001f9f5" * 500,
        "one too many": "x" * 501,
        "placeholders": "%s %(x)s {0} {x} $1 ${x} \\u0000 '; --",
        "spaces of all kinds": "\u00a0\u2003\u3000",
    }.items():
        yield f"text of {name}", {"topic": text}
    yield "an escaped NUL", {"source_data": '{"keyword": "a\\u0000b"}'}
    yield "half a pair of surrogates", {"source_data": '{"keyword": "a\\ud800b"}'}
    yield "60,000 letters", {"source_data": f'{{"keyword": "{"x" * 60_000}"}}'}
    yield "80,000 letters", {"source_data": f'{{"keyword": "{"x" * 80_000}"}}'}
    yield "a site's name", {"instance_id": SITE + "%s/../../\n\t{x}?a=b#c \u202e\u05d0"}


def _shapes() -> Iterator[Poison]:
    for shape in ("[]", '"x"', "null", '{"keyword": []}', '{"keyword": {"a": 1}}', '{"keyword": true}', '{"": ""}'):
        yield f"source_data {shape}", {"source_data": shape}
    product = '{"name": {"a": []}, "price": {}, "images": 5, "url": [1], "description": [[]], "tags": "x", "id": {}}'
    yield "a product of wrong types", {"source_type": "product", "source_data": product}
    yield "a text of a list", {"source_type": "text", "source_data": '{"text": [1, 2]}'}


def _checkpoints() -> Iterator[Poison]:
    for name, saved in {
        "of 5,000 digits": f'{{"n": {DIGITS}}}',
        "5,000 deep": "[" * 5_000 + "]" * 5_000,
        "of a list": "[]",
        "of null": "null",
        "of nothing": "{}",
        "of 1e400": '{"ideas": 1e400}',
    }.items():
        for stage, following in (("ideas", "content"), ("content", "image"), ("publish.draft", "publish")):
            poison = {"stage": following, "attempt": 1, "saved_stage": stage, "saved": saved}
            yield f"a checkpoint at {stage} {name}", poison


def _sites() -> Iterator[Poison]:
    for number in ("NaN", "Infinity", "-Infinity", "1e-45", "1000"):
        yield f"weight {number}", {"weight": number}
    for number in ("NaN", "Infinity", "-Infinity", "1e308", "-1e308"):
        yield f"virtual_time {number}", {"virtual_time": number}
    for time in TIMES:
        yield f"ready_at {time}", {"ready_at": time}
    yield "caps of 2^31 - 1", {"max_in_flight": MAX_INTEGER, "max_pending": MAX_INTEGER}
    for name, settings in {
        "5,000 digits": f'{{"words": {DIGITS}}}',
        "1e400": '{"words": 1e400}',
        "5,000 deep": f'{{"tone": {"[" * 5_000}{"]" * 5_000}}}',
        "wrong types": '{"words": "x", "tone": [], "language": 5, "brand_words": {"a": null}, "publish_mode": []}',
    }.items():
        yield f"settings of {name}", {"settings": settings}
