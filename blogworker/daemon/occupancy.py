"""Which slots of a worker are in use.

A worker has one group of slots for all stages, or several, each for some stages (`blogworker/slots.py`). A job takes a
slot of the group of its stage. At a stage of another group it continues if that group has a free slot and no job waits
for it in the line, otherwise it goes back to the line. So jobs of other workers and sites have the same chance.

Where jobs end often, a slot would be empty for the time of a claim after each of them. So a worker claims ahead: as
many jobs as end in AHEAD_S, and never more than MOST_AHEAD for each slot. They start in the order of the claims, when
slots become free. A job that is still without one after LONGEST_AHEAD_S goes back to the line. Blogs take so long that
none is claimed ahead.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from blogworker.slots import SlotGroup
from blogworker.telemetry import tracing

AHEAD_S = 0.1  # how long a job that was claimed ahead waits for its slot, about
LONGEST_AHEAD_S = 1.0
MOST_AHEAD = 4  # for each slot
PACE_OF = 2  # the rate is measured over so many ends for each slot: one fault may end the jobs of all slots at once
PACE_OF_LEAST = 20  # ends

Key = tuple[int, int]  # job and attempt


@dataclass(slots=True)
class _Group:
    slots: SlotGroup
    admitted: deque[Key]  # those of all groups that have a slot now, and have not begun to run
    running: set[Key] = field(default_factory=set)
    ending: set[Key] = field(default_factory=set)  # those of them whose outcome is being stored
    ahead: dict[Key, float] = field(default_factory=dict)  # those that wait for a slot, and since when, in order
    ends: deque[float] = field(default_factory=deque)  # the times of the last ends
    is_claimed_for: bool = False  # a claim may fill its free slots
    others_wait: bool = False  # jobs in the line wait for this group, as far as is known

    @property
    def free(self) -> int:
        """Return how many more jobs may start.

        A job whose outcome is on its way to the database needs no slot any more, so claims and settles overlap. While
        more outcomes than slots are on their way, nothing starts.
        """
        ending = len(self.ending)
        return self.slots.size - len(self.running) + ending if ending <= self.slots.size else 0

    @property
    def room(self) -> int:
        """Return how many jobs to claim: for the free slots and ahead. 0 while half of those ahead still wait, so that
        a claim takes many."""
        ahead = self.ends_soon()
        free = self.free
        return 0 if free <= 0 and len(self.ahead) > ahead // 2 else max(0, free + ahead - len(self.ahead))

    def ends_soon(self) -> int:
        """Return how many jobs end in AHEAD_S, by the rate of the last ends."""
        if len(self.ends) < self._paced_by:
            return 0
        return min(MOST_AHEAD * self.slots.size, int(AHEAD_S * len(self.ends) / max(1e-9, monotonic() - self.ends[0])))

    def note_end(self) -> None:
        self.ends.append(monotonic())
        while len(self.ends) > self._paced_by:
            self.ends.popleft()

    @property
    def _paced_by(self) -> int:
        return max(PACE_OF_LEAST, PACE_OF * self.slots.size)

    def admit(self) -> None:
        """Give free slots to the jobs that were claimed ahead."""
        while self.ahead and self.free > 0:
            attempt = next(iter(self.ahead))
            del self.ahead[attempt]
            self.begin(attempt)

    def begin(self, attempt: Key) -> None:
        self.running.add(attempt)
        self.admitted.append(attempt)


class Occupancy:
    """The slot groups of one worker, and the attempts in them.

    `admitted`: the attempts that have been given a slot, in order. The caller takes them from it and runs them.
    """

    def __init__(self, groups: Sequence[SlotGroup]) -> None:
        self.admitted: deque[Key] = deque()
        self._groups = [_Group(group, self.admitted) for group in groups]
        self._of_stage = {stage: group for group in self._groups for stage in group.slots.stages}
        self._of_attempt: dict[Key, _Group] = {}
        tracing.sized(sum(group.size for group in groups))

    def resize(self, groups: Sequence[SlotGroup]) -> None:
        """Give the groups other sizes. With fewer slots than jobs, none is free until enough jobs have ended."""
        for group, resized in zip(self._groups, groups, strict=True):
            group.slots = resized
            group.admit()
        tracing.sized(sum(group.size for group in groups))

    @property
    def has_room(self) -> bool:
        """Return whether jobs may be claimed for a group."""
        return any(group.room > 0 for group in self._groups)

    def rooms(self) -> Iterator[tuple[SlotGroup, int]]:
        """Give each group with room, and how many jobs it has room for by then. Whether jobs wait for the others is
        not known."""
        for group in self._groups:
            group.others_wait |= group.free <= 0
            if (room := group.room) > 0:
                yield group.slots, room

    @contextmanager
    def reserved(self, group: SlotGroup) -> Iterator[None]:
        """Keep the free slots of a group for the claim in the block: no running job enters the group meanwhile."""
        reserved = self._of_stage[group.stages[0]]
        reserved.is_claimed_for = True
        try:
            yield
        finally:
            reserved.is_claimed_for = False

    def claimed(self, group: SlotGroup, *, all_found: bool) -> None:
        """Note whether a claim for this group found as many jobs as it asked for, so that more may wait."""
        self._of_stage[group.stages[0]].others_wait = all_found

    def start(self, attempt: Key, stage: str) -> None:
        """Take a slot for a claimed job, or put it behind the other jobs that wait for one. A stage that this worker
        does not run, as after a repair by hand, counts in the first group."""
        group = self._of_stage.get(stage, self._groups[0])
        self._of_attempt[attempt] = group
        if group.free > 0:  # then nothing waits
            group.begin(attempt)
        else:
            group.ahead[attempt] = monotonic()

    def enter(self, attempt: Key, stage: str) -> bool:
        """Move a running job to the group of its next stage. Return False if it has to go back to the line."""
        group, current = self._of_stage.get(stage), self._of_attempt[attempt]
        if group is current:
            return True
        if group is None:
            return False
        if group.free <= 0 or group.others_wait or group.is_claimed_for:
            group.others_wait = True
            return False
        current.running.discard(attempt)
        group.running.add(attempt)
        self._of_attempt[attempt] = group
        current.admit()
        return True

    def ending(self, attempt: Key) -> None:
        """Note that the outcome of a running job is being stored."""
        group = self._of_attempt[attempt]
        if group.ahead.pop(attempt, None) is None:
            group.ending.add(attempt)
            group.note_end()
            group.admit()

    def end(self, attempt: Key) -> None:
        """Give the slot back."""
        group = self._of_attempt.pop(attempt)
        group.running.discard(attempt)
        group.ending.discard(attempt)
        group.ahead.pop(attempt, None)
        group.admit()

    def clear(self) -> None:
        """Forget all attempts."""
        self.admitted.clear()
        self._of_attempt.clear()
        for group in self._groups:
            for attempts in (group.running, group.ending, group.ahead):
                attempts.clear()

    def has_free(self, group: SlotGroup) -> bool:
        """Return whether a job of this group would start at once."""
        return self._of_stage[group.stages[0]].free > 0

    def ahead(self) -> list[Key]:
        """Return the attempts that were claimed ahead and have no slot yet."""
        return [attempt for group in self._groups for attempt in group.ahead]

    def late(self) -> list[Key]:
        """Return those of them that have waited for LONGEST_AHEAD_S."""
        now = monotonic()
        waiting = [entry for group in self._groups for entry in group.ahead.items()]
        return [attempt for attempt, since in waiting if since + LONGEST_AHEAD_S <= now]

    @property
    def late_in_s(self) -> float | None:
        """Return after how many seconds an attempt will have waited for LONGEST_AHEAD_S; None: none waits."""
        first = min((next(iter(group.ahead.values())) for group in self._groups if group.ahead), default=None)
        return None if first is None else max(0.0, first + LONGEST_AHEAD_S - monotonic())

    @property
    def used(self) -> int:
        """Return how many slots are in use, or are about to be free."""
        return sum(len(group.running) for group in self._groups)

    @property
    def is_wanted(self) -> bool:
        """Return whether a group has a free slot and jobs may wait for it. With one group, the claim loop knows."""
        return len(self._groups) > 1 and any(group.free > 0 and group.others_wait for group in self._groups)
