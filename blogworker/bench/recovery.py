"""How soon the jobs of a killed worker run again: on another worker, or on its own next process."""

from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGKILL
from statistics import median

from anyio import current_time, fail_after, sleep

from blogworker.bench.environment import environment
from blogworker.bench.scratch import server
from blogworker.db.pool import Database, Row

KILLED, OTHER = "recovery/killed", "recovery/other"
POLL_S = 0.01
TIMEOUT_S = 60.0
LATENCY_S = 600.0  # of OpenAI, so that no job ends by itself


@dataclass(frozen=True, slots=True)
class Figure:
    case: str
    promised_s: float
    rounds: tuple["Round", ...]

    @property
    def median_s(self) -> float:
        return median(each.seconds for each in self.rounds)

    @property
    def slowest_s(self) -> float:
        return max(each.seconds for each in self.rounds)

    @property
    def registered_s(self) -> float:
        return median(each.registered_s for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Round:
    seconds: float  # from SIGKILL until the last of its jobs was claimed again
    registered_s: float  # the part since the registration of the worker that claimed them, without its start


async def measure(*, rounds: int, jobs: int, progress: Callable[[str], None]) -> list[Figure]:
    """Measure both cases with the default lease of 15 s. The second includes the start of the new process."""
    rescued, restarted = [], []
    async with server() as dsn:
        for n in range(rounds):
            rescued.append(await _round(dsn, jobs=jobs, restart=False))
            restarted.append(await _round(dsn, jobs=jobs, restart=True))
            progress(
                f"round {n + 1}: {rescued[-1].seconds:.1f} s by another worker, "
                f"{restarted[-1].seconds:.2f} s by its next process"
            )
    return [
        Figure("another worker rescues its jobs", 20, tuple(rescued)),
        Figure("restarted at once with the same name", 2, tuple(restarted)),
    ]


async def _round(dsn: str, *, jobs: int, restart: bool) -> Round:
    async with environment(dsn, {"BLOGWORKER_DRAIN_TIMEOUT": "0"}, speed=1) as env:
        await env.simulator.set_faults([{"kind": "latency", "vendor": "openai", "delay_s": LATENCY_S}])
        await env.fleet.start(KILLED)
        await env.database.execute("bench/insert_jobs", instance_id="recovery", jobs=jobs)
        await _until(env.database, lambda state: state["running"] == jobs)
        if not restart:
            await env.fleet.start(OTHER)
            await _until(env.database, lambda state: state["workers"] == len((KILLED, OTHER)))
        env.fleet.send_signal(KILLED, SIGKILL)
        killed_at = current_time()
        if restart:
            await env.fleet.start(KILLED)
        last = await _until(env.database, lambda state: state["reclaimed"] == jobs)
        return Round(current_time() - killed_at, last["registered_s"])


async def _until(database: Database, condition: Callable[[Row], bool]) -> Row:
    with fail_after(TIMEOUT_S):
        while not condition(state := await database.one("bench/recovery_state")):
            await sleep(POLL_S)
    return state
