"""Of every n consecutive posts of a site one stays a draft, across workers and attempts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from blogworker.db.sql import query
from blogworker.errors import Unavailable
from blogworker.stages import publish
from blogworker.stages.work import Work

from .conftest import RecordedCheckpoints, claimed
from .pipeline_harness import Harness
from .test_publish import world  # noqa: F401 - a fixture

WORKERS = [UUID(int=n) for n in range(1, 5)]
SITES = ("a", "b")
DRAW = query("stages/draw_review")
ORDER = """
select s.output, g.instance_id from generation_stages as s join blog_generations as g on g.id = s.generation_id
where s.stage = 'publish.review' order by s.created_at
"""

# A site, and what happens before the draw is known: an answer that got lost, or a transaction that was rolled back.
Blog = tuple[str, list[str]]
HISTORIES = st.lists(
    st.tuples(st.sampled_from(SITES), st.lists(st.sampled_from(["lost", "rolled back"]), max_size=2)), max_size=24
)


def begun(url: str, blogs: list[Blog]) -> list[int]:
    """The blogs, each held by one of several workers; their ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("truncate blog_generations, sites, workers cascade")
        for worker in WORKERS:
            connection.execute(
                "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
                "values (%s, %s, 'h', 1, '0', 9, now() + interval '1 hour')",
                [f"w{worker.int}", worker],
            )
        ids = []
        for place, (site, _) in enumerate(blogs):
            row = connection.execute(
                "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'k') "
                "returning id",
                [site],
            ).fetchone()
            assert row is not None
            connection.execute(
                "update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = %s where id = %s",
                [WORKERS[place % len(WORKERS)], row[0]],
            )
            ids.append(row[0])
        return ids


def drawn(url: str, worker: UUID, mine: list[tuple[int, list[str]]], every: int) -> dict[int, list[bool]]:
    """What a worker is told of its blogs, over all attempts."""
    told: dict[int, list[bool]] = {}
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        for job_id, mishaps in mine:
            asked = {"job_id": job_id, "attempt": 1, "worker_id": worker, "every": every}
            for mishap in [*mishaps, "none"]:
                with connection.transaction(force_rollback=mishap == "rolled back"):
                    row = connection.execute(DRAW.encode(), asked).fetchone()
                assert row is not None
                if mishap != "rolled back":
                    told.setdefault(job_id, []).append(row["held"])
    return told


@settings(max_examples=25)
@given(blogs=HISTORIES, every=st.integers(1, 6))
def test_exactly_one_of_n_is_drawn_across_workers_and_retries(module_url: str, blogs: list[Blog], every: int) -> None:
    """The database counts: two workers at once, or an attempt that asks again, change nothing."""
    ids = begun(module_url, blogs)
    mine = {
        worker: [(ids[n], blogs[n][1]) for n in range(len(blogs)) if n % len(WORKERS) == place]
        for place, worker in enumerate(WORKERS)
    }

    with ThreadPoolExecutor(len(WORKERS)) as threads:
        answers = list(threads.map(lambda worker: drawn(module_url, worker, mine[worker], every), WORKERS))

    told = {job_id: had for answer in answers for job_id, had in answer.items()}
    assert {job_id for job_id, had in told.items() if len(set(had)) != 1} == set(), "a retry flipped it"
    with psycopg.connect(module_url, autocommit=True) as connection:
        decided = connection.execute(ORDER.encode()).fetchall()
    assert len(decided) == len(blogs)
    for site in SITES:
        held = [output["held"] for output, of in decided if of == site]
        assert [n for n, one in enumerate(held, 1) if one] == list(range(every, len(held) + 1, every))


@settings(max_examples=25)
@given(numbers=st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_a_changed_n_counts_from_the_last_drawn_post(module_url: str, numbers: list[int]) -> None:
    """A lower number applies at once."""
    ids = begun(module_url, [("a", [])] * len(numbers))
    passed = 0

    for place, (job_id, every) in enumerate(zip(ids, numbers, strict=True)):
        [held] = drawn(module_url, WORKERS[place % len(WORKERS)], [(job_id, [])], every)[job_id]
        passed = 0 if passed + 1 >= every else passed + 1
        assert held == (passed == 0)


def test_a_lost_claim_draws_nothing(module_url: str) -> None:
    [job_id] = begun(module_url, [("a", [])])
    with psycopg.connect(module_url, autocommit=True) as connection:
        asked = {"job_id": job_id, "attempt": 2, "worker_id": WORKERS[0], "every": 1}

        assert connection.execute(DRAW.encode(), asked).fetchall() == []
        assert connection.execute("select count(*) from site_reviews").fetchall() == [(0,)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("own", "site", "fleet", "published"),
    [
        (None, {"review_every": 1}, None, False),
        (None, {}, 1, False),
        (None, {}, None, True),
        ("publish", {"review_every": 1}, 1, True),
        ("draft", {"review_every": 1}, None, False),
        (None, {"publish_mode": "draft", "review_every": 1}, None, False),
        (None, {"publish_mode": "publish"}, 1, True),
        (None, {"publish_mode": "publish", "review_every": 1}, None, False),
    ],
)
async def test_the_setting_of_the_job_wins_over_its_site_and_the_fleet(
    world: Any,  # noqa: F811
    checkpoints: RecordedCheckpoints,
    own: str | None,
    site: dict[str, Any],
    fleet: int | None,
    published: bool,
) -> None:
    work: Work = replace(claimed(world[0], publish_mode=own, site=site), review_every=fleet)
    checkpoints.drawn = True

    output = (await publish.run(work)).dump()

    assert output["published"] is published
    drawn = [event for event in checkpoints.events if event.startswith("draw")]
    draws = own is None and site.get("publish_mode") != "draft" and not published
    assert drawn == (["draw review of 1"] if draws else [])
    if draws:
        assert output["reason"] == "left as a draft for review: one of every 1 posts"
        assert checkpoints.events.index("draw review of 1") < checkpoints.events.index("save publish.draft")


@pytest.mark.anyio
async def test_a_draw_is_kept_when_the_settings_change_before_the_next_attempt(
    world: Any,  # noqa: F811
    checkpoints: RecordedCheckpoints,
) -> None:
    work, room = world
    checkpoints.drawn = True
    await room.fault(kind="reset_before", vendor="wix", operation="*draft*create*", times=1)
    with pytest.raises(Unavailable):
        await publish.run(claimed(work, site={"review_every": 4}))

    output = (await publish.run(claimed(work, site={}))).dump()

    assert output["reason"] == "left as a draft for review: one of every 4 posts"
    assert await room.posts(str(work.claim.instance_id)) == []


@pytest.mark.anyio
async def test_a_draft_made_before_the_draw_is_published(
    world: Any,  # noqa: F811
    checkpoints: RecordedCheckpoints,
) -> None:
    work, room = world
    checkpoints.drawn = True
    await room.fault(kind="status", status=503, vendor="wix", operation="*publish*", times=1)
    with pytest.raises(Unavailable):
        await publish.run(claimed(work, site={}))

    assert (await publish.run(claimed(work, site={"review_every": 1}))).dump()["published"] is True


@pytest.mark.anyio
async def test_posts_of_a_site_are_drawn_scored_and_recorded(harness: Harness) -> None:
    """From the queue to Wix: two of six stay drafts, each post has its score, and the ledger their sum."""
    await harness.run("update sites set settings = '{\"review_every\": 3}'")
    [site] = await harness.run("select instance_id from sites")
    for subject in ("mugs", "teapots", "garden knives", "oak stools", "wool socks"):
        await harness.add(site["instance_id"], source_id=subject)
    await harness.room.fault(kind="reset_after", vendor="wix", operation="*draft*create*", times=2)

    for _ in range(6):
        for job in await harness.attempts():
            assert job["status"] in ("DONE", "PENDING", "SCHEDULED"), job

    posts = await harness.run("select score, wix_draft_id, wix_post_id from blog_posts")
    assert len(posts) == 6
    assert [row["wix_draft_id"] is not None for row in posts] == [True] * 6
    assert sum(row["wix_post_id"] is None for row in posts) == 2
    scores = [row["score"] for row in posts]
    assert all(0 < score <= 100 for score in scores)
    for table in ("provider_usage", "site_spend", "fleet_spend"):
        sums = await harness.run(f"select sum(posts)::int as posts, sum(score_sum)::int as score from {table}")
        assert sums == [{"posts": 6, "score": sum(scores)}], table
    [spending] = await harness.run("select posts_month, score_month from spending")
    assert (spending["posts_month"], float(spending["score_month"])) == (6, round(sum(scores) / 6, 1))
