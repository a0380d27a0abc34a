"""Commands that a signal stops clean up first."""

import os
import signal

import anyio.lowlevel
import pytest
from anyio import CancelScope, Event, create_task_group, sleep, sleep_forever, wait_all_tasks_blocked

from blogworker.cli.signals import until_signal

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("default_hangup")]
STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Work:
    """Runs until it is cancelled, and needs a moment to clean up."""

    def __init__(self) -> None:
        self.cleaning, self.cleaned, self.go_on = Event(), Event(), Event()

    async def __call__(self) -> str:
        try:
            await sleep_forever()
        finally:
            with CancelScope(shield=True):
                self.cleaning.set()
                await self.go_on.wait()
                self.cleaned.set()
        return "never"


@pytest.mark.parametrize("sent", STOPPING)
async def test_more_signals_do_not_disturb_the_cleanup(sent: signal.Signals) -> None:
    """A terminal that closes may send SIGHUP twice, and people press Ctrl-C again."""
    work = Work()
    found: list[object] = []

    async def run() -> None:
        found.append(await until_signal(work))

    async with create_task_group() as tasks:
        tasks.start_soon(run)
        await wait_all_tasks_blocked()
        os.kill(os.getpid(), sent)
        await work.cleaning.wait()
        os.kill(os.getpid(), sent)
        await anyio.lowlevel.checkpoint()
        work.go_on.set()

    assert found == [None]
    assert work.cleaned.is_set()


async def test_nohup_is_respected() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def hang_up() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await sleep(0.01)
        return "done"

    assert await until_signal(hang_up) == "done"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
