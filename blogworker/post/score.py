"""The score of a post, from 0 to 100. This is the whole formula:

    score = 100 - the sum of the costs of its findings, and at least 0

                      normal finding   grave finding
    repaired                       1               2   found in the answer of the model, and repaired by our code
    off the brief                  2               4   a request of the prompt that the model did not follow
    sent back                      6              12   only the model could repair it: the post was written again
    remaining                     20              40   is still in the published post

Findings with the same name count once, with the highest cost. A grave finding misleads a reader (GRAVE). One more
finding never raises a score. The score does not include what the model charged: `blogworker costs` shows both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

BEST = 100
GRAVE = frozenset(
    {
        "price not in the source", "measure not in the source", "count not in the source",
        "material not in the source", "another language", "forbidden word", "remark about the writer",
        "product not linked", "product never named",
    }
)  # fmt: skip


class Outcome(StrEnum):
    """What happened to a finding."""

    REPAIRED = "repaired"
    OFF_BRIEF = "off the brief"
    SENT_BACK = "sent back"
    REMAINING = "remaining"


COSTS = {Outcome.REPAIRED: 1, Outcome.OFF_BRIEF: 2, Outcome.SENT_BACK: 6, Outcome.REMAINING: 20}


@dataclass(frozen=True, slots=True)
class Cost:
    """One finding, and the points that it costs."""

    name: str
    outcome: Outcome
    points: int


def costs_of(
    *, repaired: Iterable[str] = (), off_brief: Iterable[str] = (), sent_back: Iterable[str] = (),
    remaining: Iterable[str] = (),
) -> list[Cost]:  # fmt: skip
    """Return the cost of each finding, the highest first."""
    outcomes = dict.fromkeys(repaired, Outcome.REPAIRED) | dict.fromkeys(off_brief, Outcome.OFF_BRIEF)
    outcomes |= dict.fromkeys(sent_back, Outcome.SENT_BACK) | dict.fromkeys(remaining, Outcome.REMAINING)
    costs = [Cost(name, outcome, COSTS[outcome] * (1 + (name in GRAVE))) for name, outcome in outcomes.items()]
    return sorted(costs, key=lambda cost: (-cost.points, cost.name))


def score_of(costs: Iterable[Cost]) -> int:
    return max(0, BEST - sum(cost.points for cost in costs))
