"""Which slots of a worker are in use.

A worker has one group of slots for all stages, or several, each for some stages (`blogworker/slots.py`). A job takes a
slot of the group of its stage. At a stage of another group it continues if that group has a free slot and no job waits
for it in the line, otherwise it goes back to the line. So jobs of other workers and sites have the same chance.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from blogworker.slots import SlotGroup
from blogworker.telemetry import tracing

Attempt = tuple[int, int]  # job and attempt


@dataclass(slots=True)
class _Group:
    slots: SlotGroup
    running: set[Attempt] = field(default_factory=set)
    ending: set[Attempt] = field(default_factory=set)  # those of them whose outcome is being stored
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


class Occupancy:
    """The slot groups of one worker, and the attempts in them."""

    def __init__(self, groups: Sequence[SlotGroup]) -> None:
        self._groups = [_Group(group) for group in groups]
        self._of_stage = {stage: group for group in self._groups for stage in group.slots.stages}
        self._of_attempt: dict[Attempt, _Group] = {}
        tracing.sized(sum(group.size for group in groups))

    def resize(self, groups: Sequence[SlotGroup]) -> None:
        """Give the groups other sizes. With fewer slots than jobs, none is free until enough jobs have ended."""
        for group, resized in zip(self._groups, groups, strict=True):
            group.slots = resized
        tracing.sized(sum(group.size for group in groups))

    @property
    def has_room(self) -> bool:
        """Return whether a group has a free slot."""
        return any(group.free > 0 for group in self._groups)

    def free(self) -> Iterator[tuple[SlotGroup, int]]:
        """Give each group with free slots, and how many are free by then. Whether jobs wait for the others is not
        known."""
        for group in self._groups:
            group.others_wait |= group.free <= 0
            if group.free > 0:
                yield group.slots, group.free

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

    def start(self, attempt: Attempt, stage: str) -> None:
        """Take a slot for a claimed job. A stage that this worker does not run, as after a repair by hand, counts in
        the first group."""
        group = self._of_stage.get(stage, self._groups[0])
        group.running.add(attempt)
        self._of_attempt[attempt] = group

    def enter(self, attempt: Attempt, stage: str) -> bool:
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
        return True

    def ending(self, attempt: Attempt) -> None:
        """Note that the outcome of a running job is being stored."""
        self._of_attempt[attempt].ending.add(attempt)

    def end(self, attempt: Attempt) -> None:
        """Give the slot back."""
        group = self._of_attempt.pop(attempt)
        group.running.discard(attempt)
        group.ending.discard(attempt)

    @property
    def is_wanted(self) -> bool:
        """Return whether a group has a free slot and jobs may wait for it. With one group, the claim loop knows."""
        return len(self._groups) > 1 and any(group.free > 0 and group.others_wait for group in self._groups)
