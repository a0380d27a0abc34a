"""The score of a post: what it costs to be wrong, and that the stage, the ledger and a review mean the same by it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects import DEFECTS
from blogworker.post.score import BEST, COSTS, GRAVE, Outcome, costs_of, score_of
from blogworker.post.site import SiteSettings
from blogworker.post.verdict import verdict_of
from blogworker.stages import content
from blogworker.stages.checkpoint_schema import invalid_checkpoints
from blogworker.stages.content import WRONG_SHAPE
from blogworker.stages.records import Content
from blogworker.stages.work import Work

from .conftest import Writer, body, idea, post

NAMES = sorted({defect.name for defect in DEFECTS} | GRAVE | {"too short", WRONG_SHAPE, "a name of a later version"})
FOUND = st.fixed_dictionaries({}, optional={name: st.sampled_from(Outcome) for name in NAMES})
SOURCE = {
    "kind": "product",
    "name": "Low Water Mug",
    "description": "The mug is made of speckled stoneware, and it holds 320 ml.",
    "price": "26.00",
    "currency": "EUR",
    "site": {"language": "en"},
}


def scored(found: dict[str, Outcome]) -> int:
    names = {outcome: [name for name, had in found.items() if had is outcome] for outcome in Outcome}
    return score_of(
        costs_of(
            repaired=names[Outcome.REPAIRED],
            off_brief=names[Outcome.OFF_BRIEF],
            sent_back=names[Outcome.SENT_BACK],
            remaining=names[Outcome.REMAINING],
        )
    )


@given(FOUND, st.sampled_from(NAMES), st.sampled_from(Outcome))
def test_one_more_finding_never_raises_a_score(found: dict[str, Outcome], name: str, outcome: Outcome) -> None:
    """Otherwise a worse text could score higher."""
    before = scored(found)
    worse = found if name in found and COSTS[found[name]] >= COSTS[outcome] else found | {name: outcome}

    assert 0 <= scored(worse) <= before <= BEST
    assert (before == BEST) == (found == {})
    if worse != found and before > 0:
        assert scored(worse) < before


@given(st.lists(st.sampled_from(NAMES)), st.lists(st.sampled_from(NAMES)))
def test_a_repeated_finding_counts_once_at_its_highest_cost(repaired: list[str], remaining: list[str]) -> None:
    costs = costs_of(repaired=repaired, remaining=remaining)

    assert sorted(cost.name for cost in costs) == sorted({*repaired, *remaining})
    assert {cost.name for cost in costs if cost.outcome is Outcome.REMAINING} == set(remaining)


def test_the_later_a_defect_is_caught_the_more_it_costs() -> None:
    assert list(COSTS) == sorted(COSTS, key=lambda outcome: COSTS[outcome])
    assert len(set(COSTS.values())) == len(Outcome)


def test_every_grave_finding_is_the_name_of_a_check() -> None:
    """A name that no check gives would weigh nothing."""
    known = {defect.name for defect in DEFECTS} | {"another language", "forbidden word", "product not linked"}

    assert GRAVE - known == set()


def judged(**fields: Any) -> Any:
    made = {"markdown": fields.pop("body_markdown", body()), "word_count": 900, **post(**fields)}
    return verdict_of(made, source=SOURCE, idea=idea(), site=SiteSettings(language="en"), links={})


NAMED = body(sections=6, paragraphs=7).replace("A mug that stands", "A Low Water Mug that stands", 3)


def test_a_good_post_has_no_findings() -> None:
    verdict = judged(body_markdown=NAMED)

    assert (verdict.remaining, verdict.off_brief, verdict.mentions) == ((), (), 3)
    assert score_of(verdict.costs({"repaired": [], "returned": []})) == BEST


@pytest.mark.parametrize(
    ("planted", "name", "in_source"),
    [
        ("The Low Water Mug costs €26.", None, True),
        ("The Low Water Mug holds 320 ml.", None, True),
        ("The Low Water Mug is made of stoneware.", None, True),
        ("The Low Water Mug costs €62.", "price not in the source", False),
        ("The Low Water Mug costs $26.", "price not in the source", False),
        ("The Low Water Mug holds 950 ml.", "measure not in the source", False),
        ("The Low Water Mug is made of porcelain.", "material not in the source", False),
    ],
)
def test_each_fact_of_a_post_says_whether_the_source_contains_it(
    planted: str, name: str | None, in_source: bool
) -> None:
    verdict = judged(body_markdown=f"{NAMED}\n\n{planted}")

    assert [fact.in_source for fact in verdict.facts] == [in_source]
    assert [finding.name for finding in verdict.remaining] == ([name] if name else [])


async def written(work: Work, writer: Writer, *answers: dict[str, Any]) -> dict[str, Any]:
    work.checkpoints.saved |= {"source": SOURCE, "ideas": {"chosen": idea(), "others": []}}  # type: ignore[attr-defined]
    writer.will_write(*answers)
    made = (await content.run(work)).dump()
    assert invalid_checkpoints({"content": json.loads(json.dumps(made))}) == ({}, {})
    assert Content.load(made).columns()["score"] == made["score"]
    return made


@pytest.mark.anyio
async def test_a_post_that_was_good_at_once_is_worth_more_than_one_that_was_sent_back(
    work: Work, writer: Writer
) -> None:
    good = post(body_markdown=NAMED)
    unfit = post(body_markdown=f"{NAMED}\n\nThe Low Water Mug costs €62.[^1]")

    first = await written(work, writer, good)
    work.checkpoints.saved.clear()  # type: ignore[attr-defined]
    second = await written(work, writer, unfit, good)

    assert (first["score"], first["repaired"], first["returned"]) == (BEST, [], [])
    assert second["returned"] == ["price not in the source"]
    assert second["repaired"] == ["footnote"]
    assert second["defects"] == ["footnote", "price not in the source"]
    assert second["score"] == BEST - 2 * COSTS[Outcome.SENT_BACK] - COSTS[Outcome.REPAIRED]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("unfit", "name"),
    [
        ("not JSON", WRONG_SHAPE),
        (post(body_markdown="Short."), "too short"),
        (post(body_markdown=NAMED, title="Mug"), WRONG_SHAPE),
        (post(body_markdown=NAMED) | {"tags": 7}, WRONG_SHAPE),
    ],
)
async def test_every_reason_to_send_a_post_back_has_a_name(work: Work, writer: Writer, unfit: Any, name: str) -> None:
    """A repair that nobody can name would cost money and no points."""
    made = await written(work, writer, unfit, post(body_markdown=NAMED))

    assert name in made["returned"]
    assert made["score"] <= BEST - COSTS[Outcome.SENT_BACK]


def test_a_post_of_an_older_version_is_stored_without_a_score() -> None:
    made = {"markdown": "m", "html": "h", "word_count": 1, **post()}

    assert "score" not in Content.load(made).columns()
