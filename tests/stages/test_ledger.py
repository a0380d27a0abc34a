"""The ledger: every paid call, also a wasted one, is on its checkpoint and in the ledger."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group

from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.claim import claim
from blogworker.queue.job import Done, Outcome, OverBudget
from blogworker.queue.settle import Settler
from blogworker.settings import OpenAISettings
from blogworker.spend.budget import Refusal
from blogworker.spend.ledger import Spend
from blogworker.stages.checkpoint import StoredCheckpoints, load
from blogworker.stages.pipeline import attempt
from blogworker.stages.work import Work

from .conftest import OpenLimiter, claimed
from .simulated_clients import Room, simulated

pytestmark = pytest.mark.anyio

BLOGS = 6
ROUNDS = 12
SUMS = """
select
    (select sum(cost_usd) from generation_stages) as kept,
    (select sum(cost_usd) from provider_usage) as booked,
    (select count(*) from generation_stages where model is not null) as stages,
    (select sum(requests) from provider_usage) as requests,
    (select sum(wasted) from provider_usage) as wasted,
    (select sum(wasted_usd) from provider_usage) as wasted_usd,
    (select sum(unpriced) from provider_usage) as unpriced,
    (select sum(cost_usd) from fleet_spend) as summed
"""


class Books:
    """A queue of a few blogs, worked on with simulated providers and real checkpoints."""

    def __init__(self, database: Database, settler: Settler, worker_id: UUID, work: Work) -> None:
        self.database, self.settler, self.worker_id, self.work = database, settler, worker_id, work

    async def sql(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def sums(self) -> dict[str, Any]:
        return (await self.sql(SUMS))[0]

    async def round(self, *, slots: int = 100) -> list[Outcome]:
        """One attempt at all that is ready, at once."""
        found = await claim(self.database, self.worker_id, slots=slots, site_window=100)
        saved = await load(self.database, [taken.job_id for taken in found.claims])
        outcomes: list[Outcome] = []

        async def run(taken: Any) -> None:
            kept = StoredCheckpoints(self.database, self.worker_id, taken, saved[taken.job_id])
            work = replace(self.work, claim=taken, checkpoints=kept)
            outcomes.append(outcome := await attempt(work, retry_base_s=0, retry_cap_s=0))
            await self.settler.settle(taken, outcome)

        async with create_task_group() as attempts:
            for taken in found.claims:
                attempts.start_soon(run, taken)
        return outcomes


@pytest.fixture
async def desk(database: Database, work: Work) -> AsyncIterator[tuple[Books, Room]]:
    worker_id = uuid4()
    await database.execute(
        "queue/register_worker",
        name="w", worker_id=worker_id, host="h", pid=1, version="0", concurrency=9, lease_s=600,
    )  # fmt: skip
    settler = Settler(RetryingDatabase(database, DatabaseHealth()), worker_id)
    async with simulated() as (clients, room), create_task_group() as tasks:
        tasks.start_soon(settler.run)
        work = replace(work, clients=replace(clients, wix=None), limiter=OpenLimiter())
        yield Books(database, settler, worker_id, work), room
        tasks.cancel_scope.cancel()


async def ordered(books: Books, blogs: int) -> None:
    await books.sql(
        "insert into blog_generations (instance_id, source_type, source_id, max_attempts) "
        "select 'shop', 'keyword', 'cast iron ' || n, 100 from generate_series(1, %s) as n",
        blogs,
    )


async def test_after_a_faulty_run_the_ledger_is_the_sum_of_the_checkpoints(desk):
    """Repairs, cut off and useless answers, pictures that died: all of it was paid for, and all of it is told."""
    books, room = desk
    await ordered(books, BLOGS)
    for kind in ("short", "incomplete", "incomplete_silent", "refusal"):
        await room.fault(kind=kind, vendor="openai", times=2)
    for kind in ("nsfw", "aborted", "failed"):
        await room.fault(kind=kind, vendor="replicate", times=2)

    for _ in range(ROUNDS):
        await books.sql("update blog_generations set run_at = now() where status = 'PENDING' and line is null")
        await books.round()

    sums = await books.sums()
    assert sums["kept"] == sums["booked"] == sums["summed"] > 0
    paid = [await room.operations("openai"), await room.operations("replicate")]
    assert sums["requests"] == paid[0].count("responses.create") + paid[1].count("predictions.create")
    assert sums["requests"] >= sums["stages"] >= 3 * (BLOGS - 2)  # a picture that died shares a name with its successor
    assert sums["wasted"] >= 4
    assert 0 < sums["wasted_usd"] < sums["booked"]
    assert sums["unpriced"] == 0


@pytest.mark.parametrize(
    ("saves", "wasted"),
    [
        ([("ideas.draft", False, ())], 0),
        ([("content.draft_truncated", True, ()), ("content.draft", False, ())], 1),
        ([("content.draft_useless", True, ())] * 2, 2),
        ([("content.draft", False, ()), ("content.repair", False, ("content.draft",))], 1),
        ([("image.prediction", False, ())] * 2, 1),
        ([("image.prediction", False, ()), ("image.softened", False, ("image.prediction",))], 1),
    ],
)
async def test_calls_that_do_not_contribute_to_the_post_are_wasted(desk, saves, wasted):
    """A call is wasted when its answer cannot be used, or a later one takes its place; once each."""
    books, _ = desk
    await ordered(books, 1)
    (taken,) = (await claim(books.database, books.worker_id, slots=1, site_window=1)).claims
    kept = StoredCheckpoints(books.database, books.worker_id, taken, {})

    for number, (name, unusable, replaces) in enumerate(saves):
        spend = Spend("openai", "m", cost_usd=0.5, wasted=unusable)
        for _ in range(2):  # the first answer of the database was lost
            await kept.save(name, {"n": number}, spend, replaces=replaces)

    sums = await books.sums()
    assert (sums["wasted"], sums["wasted_usd"]) == (wasted, wasted / 2)
    assert (sums["requests"], sums["booked"]) == (len(saves), len(saves) / 2)


async def test_a_model_without_a_price_is_counted_as_such(desk):
    """A zero would look free."""
    books, _ = desk
    await ordered(books, 1)
    (taken,) = (await claim(books.database, books.worker_id, slots=1, site_window=1)).claims
    kept = StoredCheckpoints(books.database, books.worker_id, taken, {})

    await kept.save("ideas.draft", {}, Spend("openai", "gpt-9", tokens_in=7, tokens_out=3))

    sums = await books.sums()
    assert (sums["unpriced"], sums["requests"], sums["booked"], sums["kept"]) == (1, 1, 0, None)
    assert await books.sql("select tokens_in, tokens_out from provider_usage") == [{"tokens_in": 7, "tokens_out": 3}]


@pytest.mark.parametrize("whose", ["site", "fleet"])
async def test_a_budget_for_four_buys_about_four_of_ten(desk, whose):
    """Against the providers' own count: the six others cost nothing at all."""
    books, room = desk
    await ordered(books, 10)
    four = 4 * 0.0293  # 2,000 tokens of ideas at $0.625, 4,000 of content at $6.25 a million, a picture at $0.003
    set_budget = {"site": "update sites set budget_day_usd = %s", "fleet": "update fleet_budget set day_usd = %s"}
    await books.sql(set_budget[whose], four)

    outcomes = await books.round()

    refused = [outcome for outcome in outcomes if isinstance(outcome, OverBudget)]
    assert [outcome.everywhere for outcome in refused] == [whose == "fleet"] * 6
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 4
    assert (await room.operations("openai")).count("responses.create") == 8
    assert (await room.operations("replicate")).count("predictions.create") == 4
    assert (await books.sums())["booked"] <= four
    waiting = await books.sql("select status, failures, error from blog_generations where status <> 'DONE'")
    assert {(job["status"], job["failures"]) for job in waiting} == {("PENDING", 0)}
    assert all("has no room for a job" in job["error"] for job in waiting)


async def test_only_the_remaining_cost_is_reserved(work, checkpoints):
    """A blog that needs no more than its picture fits where a whole one does not; publishing is free."""
    checkpoints.refusal = Refusal("site", "spent", newly=False)
    asked = []
    async with simulated() as (clients, _):
        work = replace(claimed(work), clients=clients, openai=OpenAISettings(_env_file=None))
        for done in ("source", "ideas", "content", "image"):
            await attempt(work, retry_base_s=0, retry_cap_s=0)
            asked.append(checkpoints.events)
            checkpoints.events, checkpoints.saved[done] = [], {}
        checkpoints.saved["publish"] = {}

        outcome = await attempt(work, retry_base_s=0, retry_cap_s=0)

    assert asked == [["reserve 0.02925"], ["reserve 0.02925"], ["reserve 0.02800"], ["reserve 0.00300"]]
    assert (outcome, checkpoints.events) == (Done(), [])


async def test_the_same_answer_bought_by_two_attempts_is_booked_twice(desk):
    """It was paid for twice, though only one of the two is kept."""
    books, _ = desk
    await ordered(books, 1)
    for _ in range(2):
        (taken,) = (await claim(books.database, books.worker_id, slots=1, site_window=1)).claims
        kept = StoredCheckpoints(books.database, books.worker_id, taken, {})
        await kept.save("image.prediction", {"id": "same"}, Spend("replicate", "m", cost_usd=0.003))
        await books.sql("update blog_generations set status = 'PENDING'")

    sums = await books.sums()
    assert (sums["requests"], sums["kept"], sums["booked"]) == (2, Decimal("0.006"), Decimal("0.006"))


async def test_paid_cost_is_no_longer_reserved(desk):
    """Counted twice, spent and spoken for, the last blogs that a budget holds would wait for nothing."""
    books, _ = desk
    await ordered(books, 1)
    await books.sql("update fleet_budget set day_usd = 1")
    (taken,) = (await claim(books.database, books.worker_id, slots=1, site_window=1)).claims
    kept = StoredCheckpoints(books.database, books.worker_id, taken, {})
    held = (
        "select s.spent_today_usd + s.held_usd as both, s.held_usd, g.stage from spending as s, blog_generations as g"
    )

    assert await kept.hold_budget(0.03) is None
    for _ in range(2):  # sent again because an answer was lost: the same once more changes nothing
        await kept.save("ideas.draft", {}, Spend("openai", "m", cost_usd=0.001))
    (drafted,) = await books.sql(held)
    await kept.save("ideas", {})
    await kept.save("content.draft", {}, Spend("openai", "m", cost_usd=0.5))  # more than anybody thought
    (written,) = await books.sql(held)

    assert drafted == {"both": Decimal("0.03"), "held_usd": Decimal("0.029"), "stage": "source"}
    assert written == {"both": Decimal("0.501"), "held_usd": 0, "stage": "content"}
