"""A model misbehaves, and a reader sees nothing of it: no cell of the evaluation may get through or lose a word."""

import json
import sys

import pytest

from blogworker.post import render
from blogworker.simulator.misbehaviours import MISBEHAVIOURS

from .__main__ import cells, table
from .cases import Case, cases
from .evaluate import Outcome, evaluated
from .judge import Published, Verdict, compared, published

KINDS = [*MISBEHAVIOURS]
SAMPLE = 60  # one source for each misbehaviour, another for each
LEAST_SOURCES, LEAST_KINDS, LEAST_CELLS = 60, 25, 250
ONE_OF = 11  # sources for each misbehaviour, others for each; `python -m tests.evaluation` takes all of them
LANGUAGES = {"en", "de", "fr", "es", "it", "pt"}


@pytest.fixture(scope="module")
def sources() -> list[Case]:
    return cases()


def sampled(sources: list[Case], kind: str, *, shift: int) -> Case:
    """A source for which the misbehaviour makes sense; another kind and language from one to the next."""
    start = 7 * KINDS.index(kind) + shift
    turned = [sources[(start + step * 11) % len(sources)] for step in range(len(sources))]
    return next(case for case in turned if case.spoilt(kind) is not None)


def test_the_set_is_as_large_as_it_says(sources: list[Case]) -> None:
    assert len(sources) == LEAST_SOURCES
    assert {case.language for case in sources} == LANGUAGES
    assert {case.shop for case in sources if case.kind == "product"} == {"catalog", "variants", "european"}
    assert len({json.dumps(case.source, sort_keys=True) for case in sources}) == LEAST_SOURCES


@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_sees_how_a_model_misbehaved(sources: list[Case], kind: str) -> None:
    cell = evaluated(sampled(sources, kind, shift=0), kind)

    assert cell.outcome in (Outcome.REPAIRED, Outcome.SENT_BACK), cell.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_misbehaves_again_is_cleaned_up_after_or_refused(sources: list[Case], kind: str) -> None:
    cell = evaluated(sampled(sources, kind, shift=31), kind, stubborn=True)

    assert not cell.is_bad, cell.why
    assert cell.outcome is Outcome.REPAIRED or "even after a repair" in cell.why


@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_sees_what_is_planted(sources: list[Case], kind: str) -> None:
    """A judge who passes everything proves nothing."""
    case = sampled(sources, kind, shift=17)
    spoilt = case.spoilt(kind)
    assert spoilt is not None

    assert compared(unread(spoilt), unread(case.answer)) != Verdict()


def unread(answer: dict[str, object]) -> Published:
    """An answer as it would be published if nobody looked at it."""
    body = str(answer["body_markdown"])
    content = {**answer, "markdown": body, "html": render.PARSER.render(body)}
    return published(content)


@pytest.mark.proof
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_sample_of_the_evaluation(capsys: pytest.CaptureFixture[str], stubborn: bool) -> None:
    found = list(cells(KINDS, one_of=ONE_OF, stubborn=stubborn))
    with capsys.disabled():
        sys.stdout.write(f"\n{table(found)}\n")

    assert [f"{cell.kind} {cell.case.number}: {cell.why}" for cell in found if cell.is_bad] == []
    planted = [cell for cell in found if cell.outcome is not Outcome.UNPLANTED]
    assert len(planted) >= LEAST_CELLS
    assert len({cell.kind for cell in planted}) >= LEAST_KINDS
    if not stubborn:
        assert all(cell.outcome in (Outcome.REPAIRED, Outcome.SENT_BACK) for cell in planted)
