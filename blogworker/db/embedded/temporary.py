"""A private server for one block: it is removed at the end, with its data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from anyio import CancelScope
from anyio.to_thread import run_sync

from blogworker.db.embedded.postgres import EmbeddedPostgres


@asynccontextmanager
async def temporary_server(*, durable: bool = False, max_connections: int = 100) -> AsyncIterator[str]:
    """The DSN of a Postgres that lives as long as the block."""
    with TemporaryDirectory(prefix="blogworker-", ignore_cleanup_errors=True) as folder:
        # The folder itself, not one in it: it can be given to the server's user when we are root.
        embedded = EmbeddedPostgres(folder, durable=durable, max_connections=max_connections)
        try:
            yield await run_sync(embedded.start)
        finally:
            with CancelScope(shield=True):  # Ctrl-C cancels the block, and the server must not outlive it
                await run_sync(embedded.remove)
