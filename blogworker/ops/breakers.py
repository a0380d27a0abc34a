"""Circuit breakers: list and close."""

from blogworker.db.pool import Database, Runner
from blogworker.errors import NotFound, WrongState
from blogworker.ops.audit import Action, record
from blogworker.ops.records import BreakerState, records
from blogworker.printable import typed


async def list_breakers(database: Runner) -> list[BreakerState]:
    """Return the breakers of all providers."""
    return records(BreakerState, await database.rows("ops/breakers"))


async def close_breaker(database: Database, provider: str) -> list[BreakerState]:
    """Close the circuit breaker of a provider and return its state. Workers notice within a second.

    Raises NotFound for an unknown provider, and WrongState if its breaker is closed.
    """
    async with database.transaction() as statements:
        before = await list_breakers(statements)
        closed = await statements.maybe("quota/breaker_close", provider=provider)
        if closed is not None:
            after = await list_breakers(statements)
            old, new = _state(before, provider), _state(after, provider)
            await record(statements, Action.BREAKER_CLOSE, provider, before=old, after=new)
    breakers = await list_breakers(database)
    known = [breaker.provider for breaker in breakers]
    if provider not in known:
        raise NotFound(f"there is no provider {provider}; known are {', '.join(map(typed, known))}")
    if closed is None:
        raise WrongState(f"the circuit breaker of {provider} is already closed")
    return [breaker for breaker in breakers if breaker.provider == provider]


def _state(found: list[BreakerState], provider: str) -> dict[str, object] | None:
    named = next((each for each in found if each.provider == provider), None)
    return None if named is None else {"state": named.state, "reason": named.reason}
