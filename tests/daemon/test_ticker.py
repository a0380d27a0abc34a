"""The loop of all periodic tasks: what it repeats, what it survives, and what ends it."""

import pytest
from anyio import CancelScope, create_task_group, fail_after
from structlog.testing import capture_logs

from blogworker.daemon.ticker import every

pytestmark = pytest.mark.anyio


class Tick:
    """Follows its script, call by call, and stops the loop at the end."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0
        self.scope = CancelScope()

    async def __call__(self) -> None:
        self.calls += 1
        if len(self.outcomes) == self.calls:
            self.scope.cancel()
        if (error := self.outcomes[self.calls - 1]) is not None:
            raise error

    async def run(self, *, fatal: tuple[type[Exception], ...] = ()) -> None:
        with fail_after(5), self.scope:
            await every("test", 0.001, self, fatal=fatal)


async def test_a_tick_is_repeated() -> None:
    tick = Tick(None, None, None)

    await tick.run()

    assert tick.calls == 3


async def test_a_failing_tick_is_logged_once_and_tried_again() -> None:
    """A database that is away for an hour must not fill the log."""
    tick = Tick(ValueError("first"), ValueError("again"), None, None, KeyError("other"), None)

    with capture_logs() as logs:
        await tick.run()

    assert tick.calls == 6
    assert [(line["event"], line.get("error_type")) for line in logs] == [
        ("tick_failed", "ValueError"),
        ("tick_recovered", None),
        ("tick_failed", "KeyError"),
        ("tick_recovered", None),
    ]
    assert logs[0]["tick"] == "test"
    assert logs[0]["error"] == "first"


async def test_a_fatal_error_ends_the_loop() -> None:
    tick = Tick(None, LookupError("enough"), None)

    with pytest.raises(LookupError, match="enough"):
        await tick.run(fatal=(LookupError,))

    assert tick.calls == 2


async def test_cancellation_passes_through() -> None:
    async def never() -> None:
        tasks.cancel_scope.cancel()

    with fail_after(5):
        async with create_task_group() as tasks:
            tasks.start_soon(every, "test", 3600.0, never)
