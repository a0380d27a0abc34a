"""Answers that many callers share."""

import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked

from blogworker.web.shared import Shared

pytestmark = pytest.mark.anyio


async def test_a_caller_who_leaves_does_not_end_the_read_of_the_others() -> None:
    """Otherwise a slow read starts again and again for people who reload."""
    reads, answered = 0, Event()

    async def read() -> int:
        nonlocal reads
        reads += 1
        await answered.wait()
        return reads

    shared, first, found = Shared(read, fresh_s=60), CancelScope(), []

    async def leave() -> None:
        with first:
            await shared.get()

    async def stay() -> None:
        found.append(await shared.get())

    async with create_task_group() as tasks:
        tasks.start_soon(leave)
        await wait_all_tasks_blocked()
        tasks.start_soon(stay)
        first.cancel()
        await wait_all_tasks_blocked()
        answered.set()

    assert (found, reads) == ([1], 1)
