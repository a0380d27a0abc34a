"""A bucket, and the processes that wait for it. Time passes only where a test moves the clock."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from blogworker.db.sql import query
from blogworker.quota.bucket_client import AHEAD_S, POLL_S

from .clocks import look, round_of
from .stopped import StoppedClock


@dataclass(eq=False)
class Call:
    """Times are of the database's clock, in seconds since 1970."""

    turn: float
    tokens: int
    number: int  # in the order of coming
    call_id: UUID = field(default_factory=uuid4)
    came: int = 0  # the first round that contained it
    granted: int | None = None  # the round in which it was granted, by whichever process
    granted_at: float = 0.0
    heard_at: float | None = None
    first_start: float = 0.0  # as it was granted
    line_start: float = 0.0  # as it is moved by what others used, when that is reported
    start: float = 0.0  # the same, as its process hears of that
    soonest: float = 0.0
    returned_s: float = 0.0
    request_s: float = 0.0
    token_s: float = 0.0
    epoch: int = 0
    refused_s: float | None = None
    gone: int | None = None  # the round since which no caller waits for it

    @property
    def tokens_s(self) -> float:
        return max(self.request_s, self.tokens * self.token_s) if self.token_s else 0.0

    def moved(self, returned_s: float, now: float) -> float:
        """The start after refunds and excess usage of others, as of `returned_s` of the bucket."""
        return round(max(now, self.soonest, self.first_start - (returned_s - self.returned_s)), 6)

    @property
    def late_s(self) -> float:
        """How late it goes at most, if it waits for something else than tokens when an excess comes."""
        return self.soonest - self.granted_at if self.line_start > self.first_start == self.soonest else 0.0

    def unused(self, used: int) -> tuple[float, float]:
        """The unused tokens of its estimate, and how far each of them moved the clock."""
        return self.tokens - used, self.token_s


@dataclass
class Line:
    """The bucket. `granted`: calls in the order of their grants; `forgotten`: grants that were returned undelivered."""

    clock: StoppedClock
    rpm: int = 60
    tpm: int | None = None
    burst_s: float = 0.0
    ahead_s: float = AHEAD_S
    longest_wait_s: float = 3600.0
    rounds: int = 0
    calls: list[Call] = field(default_factory=list)
    granted: list[Call] = field(default_factory=list)
    forgotten: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = self.clock.session
        self.clock.reset()
        self.session.execute("delete from quotas")
        self.session.execute("delete from quota_waits")
        self.session.execute(
            "insert into quotas (name, provider, requests_per_minute, tokens_per_minute, burst_s) "
            "values ('q', 'p', %s, %s, %s)",
            [self.rpm, self.tpm, self.burst_s],
        )

    def now(self) -> float:
        return self.clock.now()

    def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)

    def run(self, seconds: float, *processes: "Process") -> None:
        """Let time pass while these processes ask several times a second, as a client does."""
        for _ in range(round(seconds / POLL_S)):
            for process in processes:
                self.pass_time(POLL_S / len(processes))
                process.poll()

    def expected_s(self) -> float:
        """How long a call behind all others would wait; nothing is reserved."""
        (expected_s,) = self.session.execute(query("quota/round"), look()).fetchone()["expected_s"]
        return expected_s

    def block(self, seconds: float) -> None:
        self.clock.run("block", name="q", seconds=seconds)

    def bucket(self) -> dict[str, Any]:
        """With `next_at`: when the next call could go, by what is granted."""
        row = self.session.execute("select * from quotas").fetchone()
        ends = [row["requests_clock"].timestamp() - self.burst_s, row["blocked_until"].timestamp()]
        if self.tpm is not None:
            ends.append(row["tokens_clock"].timestamp() - self.burst_s)
        return row | {"next_at": max(ends)}

    def waits(self) -> dict[UUID, dict[str, Any]]:
        """The waiting calls, granted or not."""
        return {row["call_id"]: row for row in self.session.execute("select * from quota_waits")}

    def note_round(self, began: float, answered: dict[UUID, dict[str, Any]]) -> None:
        """Find which calls the round that has just been made has granted, in which order, and which it has moved."""
        row, waits, new = self.bucket(), self.waits(), []
        at = row["updated_at"].timestamp()  # of the round, if it has granted something
        for call in self.calls:
            if call.granted is not None and call.heard_at is None and call.call_id not in answered:
                if call.call_id not in waits:
                    self.forgotten.append(call)
                if call.call_id not in waits or waits[call.call_id]["starts_at"] is None:  # revoked
                    self.granted.remove(call)
                    call.granted = None
                continue
            if call.granted is not None or call.gone is not None:
                continue
            found, answer = waits.get(call.call_id), answered.get(call.call_id)
            if found is not None and found["starts_at"] is not None:
                start, soonest = (found[name].timestamp() for name in ("starts_at", "soonest_at"))
                call.returned_s, call.request_s, call.token_s = (
                    found[name] for name in ("returned_s", "request_s", "token_s")
                )
            elif answer is not None and answer["waits"] is not None:
                start, soonest = at + answer["waits"], at + answer["soonest"]
                call.returned_s, call.request_s, call.token_s = (
                    answer[name] for name in ("returned_at_s", "request_s", "token_s")
                )
            else:
                continue
            call.granted, call.granted_at = self.rounds, at
            call.start = call.line_start = call.first_start = round(start, 6)  # as exact as the clocks: ties are ties
            call.soonest = round(soonest, 6)
            new.append(call)
        self.granted += sorted(new, key=lambda call: (call.turn, call.number))
        for call in self.granted:
            if call.line_start > began:
                call.line_start = call.moved(row["returned_s"], began)


@dataclass
class Process:
    """A process whose calls wait. Each call is in its rounds until it is answered."""

    line: Line
    client_id: UUID = field(default_factory=uuid4)
    number: int = 0
    epoch: int = 0
    waiting: list[Call] = field(default_factory=list)
    heard: list[Call] = field(default_factory=list)

    def ask(self, *turns: float, tokens: int = 0, poll: bool = True) -> list[Call]:
        """Come with a call of each turn."""
        return self.come([(turn, tokens) for turn in turns], poll=poll)

    def come(self, wishes: list[tuple[float, int]], *, poll: bool = True) -> list[Call]:
        before = len(self.line.calls)
        calls = [Call(turn, tokens, before + n) for n, (turn, tokens) in enumerate(wishes)]
        self.line.calls += calls
        self.waiting += calls
        if poll:
            self.poll()
        return calls

    def leave(self, call: Call) -> None:
        """A caller in line is cancelled."""
        call.gone = self.line.rounds + 1
        self.waiting.remove(call)
        self.poll()

    def undo(self, call: Call) -> None:
        """A caller whose grant was heard of is cancelled before it goes."""
        call.gone = self.line.rounds + 1
        self.poll(refund_requests_s=call.request_s, refund_tokens_s=call.tokens_s, refund_epoch=call.epoch)

    def poll(self, *, lost: bool = False, waited_s: float = 0.0, **back: Any) -> dict[str, Any]:
        """One round. `lost`: its answer does not come. `waited_s`: of each call that the database does not know."""
        line, asks = self.line, self.waiting
        self.number += 1
        line.rounds += 1
        for call in asks:
            call.came = call.came or line.rounds
        began = line.now()
        row = line.session.execute(
            query("quota/round"),
            round_of(
                [call.tokens for call in asks],
                call_ids=[call.call_id for call in asks],
                turns=[call.turn for call in asks],
                waited_s=[waited_s] * len(asks),
                longest_wait_s=line.longest_wait_s,
                ahead_s=line.ahead_s,
                client_id=self.client_id,
                number=self.number,
                **({"refund_epoch": self.epoch} | back),
            ),
        ).fetchone()
        each = ("waits", "soonest", "returned_at_s", "expected_s", "refused", "request_s", "token_s")
        line.clock.tick()
        answers = {call.call_id: {name: row[name][place] for name in each} for place, call in enumerate(asks)}
        line.note_round(began, {} if lost else answers)
        if lost:
            return row
        self.epoch = row["epoch"]
        now = line.now()
        for call in asks:
            answer = answers[call.call_id]
            if answer["waits"] is not None:
                call.heard_at, call.epoch = now, row["epoch"]
                self.heard.append(call)
            elif answer["refused"]:
                call.refused_s, call.gone = answer["expected_s"], line.rounds
        for call in self.heard:
            if call.start > now:  # a refund moves up the calls that are not due yet
                call.start = call.moved(row["returned_s"], now)
        self.waiting = [call for call in asks if call.heard_at is None and call.gone is None]
        return row


def busy(clock, **bucket) -> tuple[Line, Process, Process]:
    """A bucket of one call per second that has just granted one, and two processes."""
    line = Line(clock, **bucket)
    Process(line).ask(0)
    return line, Process(line), Process(line)
