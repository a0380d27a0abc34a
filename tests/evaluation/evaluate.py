"""One cell of the evaluation: a source and a misbehaviour, through the stage that writes a post."""

import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from stages.conftest import ClosedBreakers, OpenLimiter, RecordedCheckpoints, Remembered, generation

from blogworker.errors import Rejected
from blogworker.providers.openai_answers import Generation
from blogworker.queue.job import Claim, Stage
from blogworker.settings import OpenAISettings
from blogworker.stages import content
from blogworker.stages.records import Output
from blogworker.stages.work import Clients, Work

from .cases import Case
from .judge import TOKEN, Verdict, compared, published

T = TypeVar("T")

SITE = "11111111-2222-3333-4444-555555555555"
OPENAI = OpenAISettings(_env_file=None)


class Outcome(Enum):
    """What became of a misbehaviour."""

    UNPLANTED = "makes no sense here"
    REPAIRED = "repaired"
    SENT_BACK = "sent back, then clean"
    REFUSED = "refused"
    GOT_THROUGH = "GOT THROUGH"
    DAMAGED = "DAMAGED"


@dataclass(frozen=True)
class Cell:
    """The outcome for one source."""

    case: Case
    kind: str
    outcome: Outcome
    why: str = ""

    @property
    def is_bad(self) -> bool:
        return self.outcome in (Outcome.GOT_THROUGH, Outcome.DAMAGED)


@dataclass
class Model:
    """Stands in for OpenAI: misbehaves in one way, and is told of it once."""

    case: Case
    kind: str
    stubborn: bool
    told: list[list[str]] = field(default_factory=list)
    calls: int = 0
    answer: str = ""

    async def generate(self, **asked: Any) -> Generation:
        self.calls += 1
        if self.calls == 1:
            self.answer = json.dumps(self.case.spoilt(self.kind))
        else:
            self.answer = self.case.answered_again(self.kind, asked["input"], stubborn=self.stubborn)
        return generation(self.answer)


def evaluated(case: Case, kind: str, *, stubborn: bool = False) -> Cell:
    """The cell. A stubborn model misbehaves again when it is asked for a repair."""
    if case.spoilt(kind) is None:
        return Cell(case, kind, Outcome.UNPLANTED)
    model = Model(case, kind, stubborn)
    try:
        post = at_once(content.run(_work(case, model))).dump()
    except Rejected as rejected:
        return Cell(case, kind, Outcome.REFUSED, str(rejected))
    return _judged(case, kind, post, calls=model.calls)


def _judged(case: Case, kind: str, post: Output, *, calls: int) -> Cell:
    verdict = compared(published(post), case.good, may_stay=may_stay(case, kind))
    if verdict != Verdict():
        outcome = Outcome.GOT_THROUGH if verdict.strange else Outcome.DAMAGED
        return Cell(case, kind, outcome, verdict.strange or verdict.lost)
    return Cell(case, kind, Outcome.REPAIRED if calls == 1 else Outcome.SENT_BACK)


def may_stay(case: Case, kind: str) -> frozenset[str]:
    """A post may show the address of its product, and link it there."""
    return frozenset(TOKEN.findall(f"( {case.source['url']} )")) if kind == "bare_own_address" else frozenset()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits for something")


def _work(case: Case, model: Model) -> Work:
    checkpoints = RecordedCheckpoints(saved={"source": case.source, "ideas": {"chosen": case.idea}})
    vendors: Any = Clients(openai=model, replicate=None, wix=None)  # type: ignore[arg-type]
    claim = Claim(
        job_id=1, instance_id=SITE, attempt=1, failures=0, max_attempts=5, stage=Stage.CONTENT,
        source_type=case.kind, source_id=case.id, source_data=dict(case.data), site={"language": case.language},
        created_at=datetime(2026, 11, 23, tzinfo=UTC), publish_in_s=None,
    )  # fmt: skip
    return Work(claim, checkpoints, vendors, OpenLimiter(), OPENAI, ClosedBreakers(), Remembered())
