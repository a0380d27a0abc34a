"""Helpers of the tests of a bucket's clocks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings

ROUNDING_S = 0.001  # the clocks are kept in microseconds

bounded = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def near(seconds: float) -> Any:
    """Up to the ticks of some dozens of rounds."""
    return pytest.approx(seconds, abs=0.02)


def round_of(
    tokens: Sequence[int] = (),
    *,
    name: str = "q",
    call_ids: Sequence[UUID] | None = None,
    turns: Sequence[float] | None = None,
    waited_s: Sequence[float] | None = None,
    unused: Sequence[tuple[float, float]] = (),
    refund_requests_s: float = 0.0,
    refund_tokens_s: float = 0.0,
    refund_epoch: int = 0,
    longest_wait_s: float = 3600.0,
    ahead_s: float = 3600.0,
    reported_s: Sequence[float] = (),
    reported: Sequence[tuple[int, int]] = (),
    client_id: UUID | None = None,
    number: int = 1,
    spares: int = 0,
) -> dict[str, Any]:
    """The parameters of `quota/round`. By default every call is granted, however far ahead.

    `unused`: the tokens that each call left, and how far each of them moved the clock."""
    return {
        "name": name,
        "call_ids": [uuid4() for _ in tokens] if call_ids is None else list(call_ids),
        "turns": [0.0] * len(tokens) if turns is None else list(turns),
        "tokens": list(tokens),
        "waited_s": [0.0] * len(tokens) if waited_s is None else list(waited_s),
        "unused_tokens": [tokens for tokens, _ in unused],
        "unused_token_s": [token_s for _, token_s in unused],
        "refund_requests_s": refund_requests_s,
        "refund_tokens_s": refund_tokens_s,
        "refund_epoch": refund_epoch,
        "longest_wait_s": longest_wait_s,
        "ahead_s": min(ahead_s, longest_wait_s),
        "reported_s": list(reported_s),
        "reported_requests": [requests for requests, _ in reported],
        "reported_tokens": [used for _, used in reported],
        "client_id": client_id or uuid4(),
        "number": number,
        "spares": spares,
    }


def look(name: str = "q") -> dict[str, Any]:
    """The parameters of a round whose one call, behind all others, is refused: `expected_s` says when it could go."""
    return round_of([0], name=name, turns=[float("inf")], longest_wait_s=-1.0)


@dataclass
class Vendor:
    """The provider's own bucket of tokens, as the contract of `quota_round` has it.

    It refills at the limit. It takes a call's estimate when the call starts, and is set right when the usage is
    reported. When a limit is raised it keeps its tokens, and when one is lowered the part of it that is left.
    """

    tokens_per_minute: float
    burst_s: float
    taken: float = 0.0  # and not refilled, in tokens
    at: float = 0.0
    lacking_s: float = 0.0  # the largest shortage when a call started

    def play(self, events: Iterable[tuple[float, str, float]]) -> float:
        """Its largest shortage, in seconds. Events are time, kind and amount, in any order."""
        for at, kind, amount in sorted(events):
            per_s = self.tokens_per_minute / 60
            self.taken = max(0.0, self.taken - (at - self.at) * per_s)
            self.at = at
            match kind:
                case "limit":
                    self.taken *= min(1.0, amount / self.tokens_per_minute)
                    self.tokens_per_minute = amount
                case "report":
                    self.taken = max(0.0, self.taken + amount)
                case "start":
                    self.lacking_s = max(self.lacking_s, self.taken / per_s - self.burst_s)
                    self.taken += amount
        return self.lacking_s


class Started(Protocol):
    start: float


C = TypeVar("C", bound=Started)


def overrun(calls: Sequence[C], size: Callable[[C], float], per_s: float, burst_s: float) -> float:
    """By how much the fullest window holds more than the rate lets through in it and in a burst.

    `calls` are in the order they were granted. A call may go as long as those before it fit, so the one of a window
    that was granted last is always allowed. After a refund it need not be the last to start.
    """
    worst = 0.0
    by_start = sorted(enumerate(calls), key=lambda entry: entry[1].start)
    for first, (_, opening) in enumerate(by_start):
        used, latest = 0.0, by_start[first]
        for entry in by_start[first:]:
            used += size(entry[1])
            latest = max(latest, entry, key=lambda known: known[0])
            window_s = entry[1].start - opening.start
            worst = max(worst, used - size(latest[1]) - per_s * (window_s + burst_s + ROUNDING_S))
    return worst
