"""Helpers of the tests of migrations."""

from blogworker.db import migrate as room
from blogworker.db.migrate import Migration


def offer(monkeypatch, *texts: str) -> None:
    """Give the program these migrations instead of its own."""
    given = [Migration(n, f"step_{n}", text) for n, text in enumerate(texts, 1)]
    monkeypatch.setattr(room, "migrations", lambda: given)


async def tables(connection) -> set[str]:
    cursor = await connection.execute("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in await cursor.fetchall()}
