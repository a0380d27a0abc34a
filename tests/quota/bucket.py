"""One bucket and the calls that it granted, as the database and a model of its callers see them.

Time passes only where a test moves the clock. A call's start is the time at which its reservation was made, plus its
wait.
"""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from blogworker.db.sql import query

from .clocks import look, round_of
from .stopped import StoppedClock, at_stopped_time

SLOT_S = 5


@dataclass(eq=False)
class Call:
    start: float
    tokens: int
    request_s: float  # its charge, as a worker keeps it
    token_s: float
    epoch: int
    granted_at: float
    granted: float  # the start in its first answer
    soonest: float
    returned_s: float

    @property
    def tokens_s(self) -> float:
        return max(self.request_s, self.tokens * self.token_s) if self.token_s else 0.0

    def unused(self, used: int) -> tuple[float, float]:
        """The unused tokens of its estimate, and how far each of them moved the clock."""
        return self.tokens - used, self.token_s


@dataclass
class Tap:
    """One bucket, and the calls it granted."""

    clock: StoppedClock
    rpm: int
    tpm: int | None = None
    burst_s: float = 1.0
    epoch: int = 0
    client_id: UUID = field(default_factory=uuid4)
    sent: int = 0
    granted: list[Call] = field(default_factory=list)

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

    def round(
        self,
        tokens=(),
        *,
        longest_wait_s=3600.0,
        unused=(),
        refund_requests_s=0.0,
        refund_tokens_s=0.0,
        refund_epoch=None,
        reported_s=(),
        reported=(),
    ):
        """The answer to a process that wants these calls, and gives back so much."""
        self.sent += 1
        row = self.session.execute(
            query("quota/round"),
            round_of(
                tokens,
                longest_wait_s=longest_wait_s,
                unused=unused,
                refund_requests_s=refund_requests_s,
                refund_tokens_s=refund_tokens_s,
                refund_epoch=self.row()["epoch"] if refund_epoch is None else refund_epoch,
                reported_s=reported_s,
                reported=reported,
                client_id=self.client_id,
                number=self.sent,
            ),
        ).fetchone()
        self.clock.tick()
        read_at = self.row()["updated_at"].timestamp()
        if row["epoch"] != self.epoch:
            self.epoch = row["epoch"]
            self.leave(read_at)
        self.move_up(read_at, row["returned_s"])
        for place, size in enumerate(tokens):
            if row["waits"][place] is not None:
                # As exact as the clocks, so that ties are ties.
                start, soonest = (round(read_at + row[s][place], 6) for s in ("waits", "soonest"))
                self.granted.append(
                    Call(
                        start,
                        size,
                        row["request_s"][place],
                        row["token_s"][place],
                        row["epoch"],
                        granted_at=read_at,
                        granted=start,
                        soonest=soonest,
                        returned_s=row["returned_at_s"][place],
                    )
                )
        return row

    def move_up(self, now: float, returned_s: float) -> None:
        """Move waiting calls up by the refund."""
        for call in self.granted:
            if call.start > now:
                moved = call.granted - (returned_s - call.returned_s)
                call.start = round(max(now, call.soonest, moved), 6)

    def leave(self, now: float) -> None:
        """Remove granted calls that are not due: they ask again."""
        self.granted = [call for call in self.granted if call.start <= now]

    def wait_s(self, tokens: int = 0) -> float:
        """The wait for one call that is granted."""
        (wait_s,) = self.round([tokens])["waits"]
        assert wait_s is not None
        return wait_s

    def next_s(self) -> float:
        """When a call could go; nothing is taken."""
        (expected_s,) = self.session.execute(query("quota/round"), look()).fetchone()["expected_s"]
        return expected_s

    def undo(self, call: Call) -> None:
        """Give back a call that was not made."""
        self.round(refund_requests_s=call.request_s, refund_tokens_s=call.tokens_s, refund_epoch=call.epoch)

    def reconcile(self, call: Call, used: int) -> None:
        """Tell the real usage of a call that was made."""
        self.round(unused=[call.unused(used)] if call.token_s else ())

    def block(self, seconds: float) -> None:
        self.clock.run("block", name="q", seconds=seconds)

    def slow_down(self) -> None:
        self.clock.run("slow_down", name="q")

    def set(self, *, rpm: int | None = None, tpm: int | None = None) -> None:
        self.clock.run("set_bucket", name="q", requests_per_minute=rpm, tokens_per_minute=tpm, pinned=True)

    def learn(self, *, requests_left=None, tokens_left=None, requests_limit=None, tokens_limit=None) -> None:
        self.clock.run(
            "learn",
            name="q",
            requests_limit=requests_limit,
            tokens_limit=tokens_limit,
            requests_left=requests_left,
            tokens_left=tokens_left,
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)

    def pace(self) -> float:
        """The part of the limit that is in use now."""
        cost = self.session.execute(
            at_stopped_time("select k.* from quotas as q, quota_cost(q, clock_timestamp()) as k")
        ).fetchone()
        return 60 / (self.rpm * cost["request_s"])

    def ahead_s(self) -> float:
        """How long no call can start, as claims see it."""
        ahead = at_stopped_time("select quota_ahead_s(q, clock_timestamp()) as s from quotas as q")
        return self.session.execute(ahead).fetchone()["s"]

    def now(self) -> float:
        return self.clock.now()

    def row(self):
        return self.session.execute("select * from quotas").fetchone()


changes = pytest.mark.parametrize(
    "change",
    [lambda tap: tap.block(0.001), lambda tap: tap.set(rpm=60), lambda tap: tap.slow_down()],
    ids=["block", "set", "slow_down"],
)
