"""Random histories of a line: what processes do, in any order."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from blogworker.quota.bucket_client import POLL_S

from .clocks import ROUNDING_S
from .line import Call, Line, Process

# -- Over whatever processes do ----------------------------------------------------------------------------------------

places = st.integers(0, 6)
who = st.integers(0, 3)
arrivals = st.tuples(
    st.just("come"), who, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 300)), min_size=1, max_size=8)
)
departures = st.tuples(st.just("leave"), who, places)
usages = st.tuples(st.just("use"), who, st.tuples(places, st.sampled_from([0, 30, 60, 100, 300])))  # per cent
silences = st.tuples(st.just("fall silent"), who, st.none())
times = st.tuples(st.just("run"), st.randoms(use_true_random=False), st.integers(1, 6))
buckets = st.tuples(
    st.integers(60, 1200), st.none() | st.integers(1200, 12_000), st.integers(0, 20).map(lambda n: n / 10)
)
stories = st.lists(arrivals | times | departures | usages | silences, min_size=4, max_size=14)


@dataclass
class Story:
    """The result of a series of steps."""

    line: Line
    processes: list[Process]
    undone: list[Call] = field(default_factory=list)
    used: dict[Call, int] = field(default_factory=dict)
    reports: list[tuple[float, str, float]] = field(default_factory=list)  # the reports, as the provider has them

    def step(self, step, by, value) -> None:
        if step == "run":
            return self.run(by, value)
        process = self.processes[by % len(self.processes)]
        match step:
            case "come":
                process.come([(float(turn), tokens) for turn, tokens in value], poll=False)
                self.poll(process)
            case "leave" if pending := [c for c in process.waiting + process.heard if self.pending(c)]:
                self.leave(process, pending[value % len(pending)])
            case "use" if made := [c for c in process.heard if self.made(c)]:
                self.use(process, made[value[0] % len(made)], value[1])
            case "wait":
                self.line.pass_time(value)
                self.run(_Same(), 1)
            case "fall silent" if len(self.processes) > 2:
                self.processes.remove(process)
                for call in process.waiting:
                    call.gone = self.line.rounds + 1
        return None

    def pending(self, call: Call) -> bool:
        return call.gone is None and (call.heard_at is None or call.start > self.line.now())

    def made(self, call: Call) -> bool:
        return call.gone is None and call not in self.used and call.start <= self.line.now()

    def run(self, random, polls: int) -> None:
        for _ in range(polls):
            order = random.sample(self.processes, len(self.processes))
            for process in order:
                self.line.pass_time(POLL_S / len(order))
                self.poll(process)

    def leave(self, process: Process, call: Call) -> None:
        self.undone.append(call)
        if call.heard_at is None:
            process.waiting.remove(call)
            call.gone = self.line.rounds + 1
            self.poll(process)
        else:
            call.gone = self.line.rounds + 1
            self.poll(process, refund_requests_s=call.request_s, refund_tokens_s=call.tokens_s, refund_epoch=call.epoch)

    def use(self, process: Process, call: Call, percent: int) -> None:
        self.used[call] = call.tokens * percent // 100
        self.reports.append((self.line.now(), "report", self.used[call] - call.tokens))
        self.poll(process, unused=[call.unused(self.used[call])] if call.token_s else ())
        for other in self.processes:
            self.poll(other)

    def poll(self, process: Process, **back: Any) -> None:
        """A round, after which the quota is granted to the full while a call waits."""
        began = self.line.now()
        process.poll(**back)
        if any(row["starts_at"] is None for row in self.line.waits().values()):
            granted_to = self.line.bucket()["next_at"]
            assert granted_to >= began + self.line.ahead_s - ROUNDING_S, "a call waits for quota that is there"

    def went(self) -> list[Call]:
        """In the order they were granted."""
        return [call for call in self.line.granted if call.gone is None]

    def returned_s(self) -> float:
        """An upper bound of the seconds refunded to either clock."""
        granted = [call for call in self.undone if call.granted is not None] + self.line.forgotten
        unused = [max(0, call.tokens_s - used * call.token_s) for call, used in self.used.items()]
        return sum(max(call.request_s, call.tokens_s) for call in granted) + sum(unused)


def play(clock, bucket, processes: int, steps) -> Story:
    line = Line(clock, *bucket)
    story = Story(line, [Process(line) for _ in range(processes)])
    for step in steps:
        story.step(*step)
    return story


class _Same:
    """Takes the processes in the same order each time."""

    def sample(self, processes, _):
        return list(processes)
