"""Where a retry by a person starts, for every state, change and request."""

import json
from itertools import product
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from blogworker.db.loaders import load_json
from tests.queue.any_value import anything

pytestmark = pytest.mark.anyio

STAGES = ("source", "ideas", "content", "image")
DONE_BY_THEN = {  # what there is of a job, by where it ended
    "source": [],
    "ideas": ["source", "ideas.draft"],
    "content": ["source", "ideas.draft", "ideas", "content.draft"],
    "image": ["source", "ideas.draft", "ideas", "content.draft", "content", "image.prediction"],
}
ALL = [*DONE_BY_THEN["image"], "image", "publish.tags", "publish.media"]
DONE_BY_THEN |= {
    "publish": ALL,
    "refused": [*ALL, "publish.intent"],
    "asked for": [*ALL, "publish.intent"],
    "drafted": [*ALL, "publish.intent", "publish.draft"],
}
SHOWN = ("asked for", "drafted")
CHANGES = {
    "nothing": None,
    "the same, written otherwise": """update blog_generations set source_data = '{"price": 26.0, "keyword": "mugs"}'""",
    "who publishes": (
        'update sites set settings = settings || \'{"publish_mode": "draft", "member_id": "m", "tone": null}\''
    ),
    "the source": """update blog_generations set source_data = source_data || '{"price": 27}'""",
    "the source's id": "update blog_generations set source_id = 'other'",
    "the settings": """update sites set settings = settings || '{"language": "de"}'""",
    "the currency": """update sites set settings = settings || '{"currency": "EUR"}'""",
    "a setting taken back": "update sites set settings = settings - 'language'",
}
UNCHANGED = list(CHANGES)[:3]


async def blog(psql: Any, reached: str) -> None:
    """One that FAILED there."""
    await psql.run("delete from blog_generations")
    await psql.run("""insert into sites values ('s') on conflict do nothing""")
    await psql.run("""update sites set settings = '{"language": "en"}'""")
    await psql.run(
        "insert into blog_generations (id, instance_id, source_type, source_data, status, stage, finished_at) "
        "overriding system value values (1, 's', 'keyword', %s::jsonb, 'FAILED', %s, now())",
        '{"keyword": "mugs", "price": 26.00}',
        reached if reached in STAGES else "publish",
    )
    for name in DONE_BY_THEN[reached]:
        output = {"refused": True} if name == "publish.intent" and reached == "refused" else {"chosen": {"title": "T"}}
        paid = name.endswith((".draft", ".prediction")) and not name.startswith("publish")
        await psql.run(
            "insert into generation_stages "
            "(generation_id, stage, output, attempt, provider, model, requests, cost_usd, made_of) "
            "select 1, %s, %s, 1, %s, %s, %s, %s, case when %s = 'source' then "
            "made_of(g.source_type, g.source_id, g.source_data, s.settings) end "
            "from blog_generations as g join sites as s using (instance_id)",
            name, Json(output), "v" if paid else None, "m" if paid else None, int(paid), 0.5 if paid else None, name,
        )  # fmt: skip


def expected(reached: str, change: str, asked: str | None) -> str | None:
    """The stage that the retry starts from; None: the last checkpoint."""
    if reached in SHOWN:
        return None
    if asked:
        return asked
    return "source" if change not in UNCHANGED and reached != "source" else None


async def test_a_retry_repeats_only_what_changed_or_was_asked_for(passing_psql):
    """Every state in which a job can end, every change, every --from: what is kept, and where it continues."""
    psql, seen = passing_psql, 0
    for reached, change, asked in product(DONE_BY_THEN, CHANGES, (None, *STAGES)):
        await blog(psql, reached)
        if CHANGES[change]:
            await psql.run(CHANGES[change])
        retry = "update blog_generations set status = 'PENDING', retry_from = %s where id = 1"
        if asked and reached in SHOWN:
            assert "may have a draft" in str(await psql.refused(retry, asked))
            continue
        await psql.run(retry, asked)

        first = expected(reached, change, asked)
        forgotten = STAGES[STAGES.index(first) :] if first else ()
        kept = {
            name for name in DONE_BY_THEN[reached]
            if name.split(".")[0] not in forgotten
            and not (first and name in ("publish.media", "publish.intent"))
            and not (first and first != "image" and name == "publish.tags")
        }  # fmt: skip
        rows = await psql.run("select stage, wasted, cost_usd from generation_stages")
        example = f"{reached}, {change} changed, --from {asked}"
        assert {row["stage"] for row in rows if not row["stage"].endswith(".forgotten")} == kept, example
        paid = sum(n.endswith((".draft", ".prediction")) and n[0] != "p" for n in DONE_BY_THEN[reached])
        assert sum(row["cost_usd"] or 0 for row in rows) == paid / 2, f"{example}: what was paid is not forgotten"
        job = await psql.job()
        at = reached if reached in STAGES else "publish"
        order = [*STAGES, "publish"]
        assert job["stage"] == min(at, first or at, key=order.index), example
        assert (job["status"], job["retry_from"]) == ("PENDING", None)
        billed = await psql.value(
            "select coalesce(sum((b ->> 'usd')::numeric), 0) "
            "from generation_stages, jsonb_array_elements(output -> 'bill') as b"
        )
        assert billed == sum(row["wasted"] for row in rows) / 2, example
        seen += 1
    assert seen == len(DONE_BY_THEN) * len(CHANGES) * 5 - len(SHOWN) * len(CHANGES) * 4


@settings(max_examples=100, deadline=None)
@given(data=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), anything))
def test_an_unchanged_source_is_recognised_whatever_it_contains(module_url, data):
    """A source that was not changed must not look changed: all of the job would be paid for again."""
    with psycopg.connect(module_url, autocommit=True) as connection:
        stored = load_json(connection.execute("select %s::jsonb::text", (Json(data),)).fetchone()[0])
        same = connection.execute(
            "select made_of('text', null, %s::text::jsonb, '{}') = made_of('text', null, %s::jsonb, '{}')",
            (json.dumps(data), Json(stored)),
        ).fetchone()

    assert same == (True,)
