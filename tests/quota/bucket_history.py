"""Random histories of a bucket: the steps, and what the provider sees of them."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from .bucket import Call, Tap
from .clocks import Vendor

tenths = st.integers(0, 100).map(lambda n: n / 10)
bursts = st.integers(0, 30).map(lambda n: n / 10)
asks = st.tuples(st.just("ask"), st.lists(st.integers(0, 400), min_size=1, max_size=8))
passes = st.tuples(st.just("pass"), tenths)
blocks = st.tuples(st.just("block"), tenths)
undos = st.tuples(st.just("undo"), st.integers(0, 8))
usages = st.tuples(st.just("reconcile"), st.tuples(st.integers(0, 8), st.integers(0, 500)))
remaining = st.tuples(st.just("learn"), st.integers(0, 10).map(lambda n: n / 10))
limits = st.tuples(st.integers(30, 600), st.none() | st.integers(600, 12_000), bursts)


@dataclass
class Play:
    """The result of a series of steps. Rounds of several processes are one series because of the row's lock."""

    tap: Tap
    undone: list[Call] = field(default_factory=list)
    used: dict[Call, int] = field(default_factory=dict)
    reports: list[tuple[float, str, float]] = field(default_factory=list)  # what the provider learns besides starts

    def began(self) -> list[Call]:
        """Started calls that have not reported their usage, last first."""
        now = self.tap.now()
        return [c for c in self.open() if c.start <= now]

    def open(self) -> list[Call]:
        """Calls whose quota can still be refunded, last first."""
        return [c for c in reversed(self.tap.granted) if c not in self.undone and c not in self.used]

    def step(self, step, value) -> None:
        match step:
            case "ask":
                self.tap.round(value, longest_wait_s=30)
            case "pass":
                self.tap.pass_time(value)
            case "block":
                self.tap.block(value)
                self.tap.leave(self.tap.now())
            case "learn":
                self.tap.learn(requests_left=value)
            case "undo" if calls := self.open():
                call = calls[value % len(calls)]
                self.undone.append(call)
                self.tap.undo(call)
            case "reconcile" if calls := self.began():
                call = calls[value[0] % len(calls)]
                self.used[call] = value[1]
                self.reports.append((self.tap.now(), "report", value[1] - call.tokens))  # the provider knows it first
                self.tap.reconcile(call, value[1])
            case "slow down":
                self.tap.slow_down()
                self.tap.round()
            case "limit":
                self.tap.set(tpm=value)
                self.reports.append((self.tap.now(), "limit", value))
                self.tap.round()

    def returned_s(self) -> float:
        """An upper bound of the seconds refunded to either clock."""
        unused = [max(0, call.tokens_s - used * call.token_s) for call, used in self.used.items()]
        return sum(max(call.request_s, call.tokens_s) for call in self.undone) + sum(unused)

    def late_s(self) -> float:
        """How late calls go at most that waited for something else than tokens when an excess came."""
        return max(
            (c.soonest - c.granted_at for c in self.tap.granted if c.start > c.granted == c.soonest), default=0.0
        )

    def lacking_s(self) -> float:
        """The largest shortage in the provider's bucket of tokens when a call started, in seconds."""
        starts = [(call.start, "start", call.tokens) for call in self.tap.granted if call not in self.undone]
        return Vendor(self.tap.tpm, self.tap.burst_s).play(starts + self.reports)


def play(clock, limit, steps) -> Play:
    played = Play(Tap(clock, *limit))
    for step, value in steps:
        played.step(step, value)
    return played
