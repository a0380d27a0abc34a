"""Where stages have workers of their own, a later stage serves jobs in the order in which the first stage took them."""

from random import Random

import pytest
from anyio import create_task_group

from blogworker.queue.claim import ClaimFilter, claim
from blogworker.queue.job import Claim, Done, Failure, Outcome, Reject, Release, Retry, Stage, Wait

pytestmark = pytest.mark.anyio

TEXTS = ClaimFilter(stages=(Stage.SOURCE, Stage.IDEAS, Stage.CONTENT))
PUBLISHING = ClaimFilter(stages=(Stage.PUBLISH,))
NO_SLOT = Wait(0, "waits for a slot of stage publish")
FAILED = Failure(stage="publish", kind="Unavailable", message="m")


class Fleet:
    """Workers for texts and workers that publish."""

    def __init__(self, psql, claimer, settler) -> None:
        self.psql, self.settler, self.database, self.worker_id = psql, settler, claimer.database, claimer.worker_id

    async def claim(self, only: ClaimFilter, slots: int) -> tuple[Claim, ...]:
        return (await claim(self.database, self.worker_id, slots=slots, site_window=slots, only=only)).claims

    async def end(self, claims: tuple[Claim, ...], outcome: Outcome) -> None:
        async with create_task_group() as tasks:
            for each in claims:
                tasks.start_soon(self.settler.settle, each, outcome)

    async def write(self, slots: int) -> tuple[Claim, ...]:
        claims = await self.claim(TEXTS, slots)
        await self.psql.run(
            "update blog_generations set stage = 'publish' where id = any (%s)", [each.job_id for each in claims]
        )
        await self.end(claims, NO_SLOT)
        return claims

    async def turns(self, condition: str) -> list[float]:
        rows = await self.psql.run(f"select first_turn from blog_generations where {condition} order by first_turn")
        return [row["first_turn"] for row in rows]


@pytest.fixture
def fleet(psql, claimer, settler) -> Fleet:
    return Fleet(psql, claimer, settler)


@pytest.mark.parametrize("seed", range(4))
async def test_the_first_stage_decides_the_order_of_the_last(psql, fleet, seed):
    """Whatever the weights, and whichever stage is the narrowest: so weights hold for the posts that are finished."""
    random = Random(seed)
    weights = {f"site{n}": random.choice((1, 1, 2, 3, 7)) for n in range(random.randint(2, 5))}
    for site, weight in weights.items():
        await psql.run("insert into sites (instance_id, weight) values (%s, %s)", site, weight)
        await psql.insert(site, 120)
    done = dict.fromkeys(weights, 0)
    written = 0

    for _ in range(30):
        written += len(await fleet.write(random.randint(1, 12)))
        claims = await fleet.claim(PUBLISHING, random.randint(1, 6))
        waiting = await fleet.turns("status = 'PENDING' and stage = 'publish'")
        assert all(each.turn <= turn for each in claims for turn in waiting)
        assert [each.turn for each in claims] == sorted(each.turn for each in claims)
        await fleet.end(claims, Done())
        for each in claims:
            done[each.instance_id] += 1

    assert written > sum(done.values()) > 50
    served = [done[site] / weight for site, weight in weights.items()]
    assert max(served) - min(served) <= 12 / min(weights.values())


@pytest.mark.parametrize(
    ("outcome", "keeps"),
    [(NO_SLOT, True), (Release(), True), (Retry(FAILED, 0), False), (Wait(0, "m", FAILED), False)],
    ids=["no slot", "release", "retry", "wait after an error"],
)
async def test_a_failed_attempt_has_no_claim_to_an_early_turn(psql, fleet, outcome, keeps):
    """Otherwise a site whose jobs fail would get every slot."""
    await psql.insert("shop", 1)
    (first,) = await fleet.write(1)
    for n in range(20):
        await psql.insert(f"site{n}", 20)
    await fleet.write(60)

    claims = await fleet.claim(PUBLISHING, 1)
    assert [each.job_id for each in claims] == [first.job_id]
    await fleet.end(claims, outcome)

    (turn,) = await fleet.turns(f"id = {first.job_id}") or [None]
    assert turn == (first.turn if keeps else None)


async def test_a_persons_retry_starts_with_a_new_turn(psql, fleet):
    await psql.insert("shop", 1)
    (first,) = await fleet.write(1)
    claims = await fleet.claim(PUBLISHING, 1)
    assert [each.turn for each in claims] == [first.turn]
    await fleet.end(claims, Reject(FAILED))
    await psql.run("update blog_generations set first_turn = 1 where id = %s", first.job_id)

    await psql.run("update blog_generations set status = 'PENDING' where id = %s", first.job_id)

    assert await fleet.turns("true") == [None]


async def test_a_new_job_has_no_turn_whatever_its_producer_says(psql, fleet):
    await psql.insert("shop", 1)
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, first_turn) "
        "values ('shop', 'keyword', 'k', 0)"
    )

    assert await fleet.turns("true") == [None, None]
