"""How good a post is by its checks, from 0 to 100. This is the whole formula:

    score = 100 - the sum of what its findings cost, and at least 0

                      a usual one   a grave one
    repaired                    1             2   found in what the writer gave, and put right without it
    off the brief               2             4   asked of the writer, not kept to, and published all the same
    sent back                   6            12   only the writer could mend it: the post was written again
    stands                     20            40   is in the post that readers see

Each finding counts once, by its name, where it cost most. Grave is what misleads a reader (GRAVE). So one more finding
never raises a score, and none is free. The model's money is not part of it: `costs` shows both.
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
    """What became of a finding."""

    REPAIRED = "repaired"
    OFF_BRIEF = "off the brief"
    SENT_BACK = "sent back"
    STANDS = "stands"


COSTS = {Outcome.REPAIRED: 1, Outcome.OFF_BRIEF: 2, Outcome.SENT_BACK: 6, Outcome.STANDS: 20}


@dataclass(frozen=True, slots=True)
class Cost:
    """One finding, and what it takes from the score."""

    name: str
    outcome: Outcome
    points: int


def costs_of(
    *, repaired: Iterable[str] = (), off_brief: Iterable[str] = (), sent_back: Iterable[str] = (),
    stands: Iterable[str] = (),
) -> list[Cost]:  # fmt: skip
    """The findings, by name, the costliest first."""
    outcomes = dict.fromkeys(repaired, Outcome.REPAIRED) | dict.fromkeys(off_brief, Outcome.OFF_BRIEF)
    outcomes |= dict.fromkeys(sent_back, Outcome.SENT_BACK) | dict.fromkeys(stands, Outcome.STANDS)
    costs = [Cost(name, outcome, COSTS[outcome] * (1 + (name in GRAVE))) for name, outcome in outcomes.items()]
    return sorted(costs, key=lambda cost: (-cost.points, cost.name))


def score_of(costs: Iterable[Cost]) -> int:
    return max(0, BEST - sum(cost.points for cost in costs))
