"""Circuit breakers: list and close."""

from blogworker.db.pool import Database, Row
from blogworker.errors import SettingsError
from blogworker.printable import typed


async def list_breakers(database: Database) -> list[Row]:
    """Return one row per provider."""
    return await database.rows("ops/breakers")


async def close_breaker(database: Database, provider: str) -> list[Row]:
    """Close the circuit breaker of a provider and return its row. Workers notice within a second.

    Raises SettingsError when the provider is unknown or its breaker is closed.
    """
    closed = await database.maybe("quota/breaker_close", provider=provider)
    rows = await list_breakers(database)
    known = [row["provider"] for row in rows]
    if provider not in known:
        raise SettingsError(f"there is no provider {provider}; known are {', '.join(map(typed, known))}")
    if closed is None:
        raise SettingsError(f"the circuit breaker of {provider} is already closed")
    return [row for row in rows if row["provider"] == provider]
