"""Workers and a simulator whose quotas are so large that no call waits for one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from blogworker.bench.environment import Environment, environment
from blogworker.bench.environment.fleet import Command, Fleet, worker
from blogworker.errors import BlogworkerError

CALLS, TOKENS = 10_000_000, 1_000_000_000  # per minute
SIMULATOR = {
    "openai_tpm": TOKENS,
    **dict.fromkeys(("openai_rpm", "replicate_rpm", "replicate_read_rpm", "wix_rpm"), CALLS),
}
WORKER = {
    "OPENAI_TPM": str(TOKENS),
    **dict.fromkeys(("OPENAI_RPM", "REPLICATE_RPM", "REPLICATE_READS_RPM", "WIX_RPM"), str(CALLS)),
    "BLOGWORKER_DRAIN_TIMEOUT": "0",
}


@asynccontextmanager
async def large_quotas(
    dsn: str, *, slots: int, speed: float, command: Command = worker, more: Mapping[str, str] | None = None
) -> AsyncIterator[Environment]:
    """Set up the environment. `slots`: of each worker. `more`: settings of the workers."""
    settings = {**WORKER, "BLOGWORKER_CONCURRENCY": str(slots), **(more or {})}
    async with environment(dsn, settings, speed=speed, pool_max=4, command=command) as env:
        await env.simulator.configure(**SIMULATOR)
        yield env


def require_running(fleet: Fleet, names: Sequence[str]) -> None:
    """Raises BlogworkerError with the end of its log if a worker has exited."""
    for name in sorted({*names} - {*fleet.running}):
        raise BlogworkerError(f"worker {name} has exited: {fleet.log(name).read_text(errors='replace')[-2_000:]}")
