"""One private server: start, find again, stop, remove."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from blogworker.db.embedded.place import OUR_FILES, POLL_S, PORT, START_TIMEOUT_S, Place, Server
from blogworker.db.embedded.programs import has_statistics
from blogworker.errors import DatabaseNotReady, SettingsError

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# https://www.postgresql.org/docs/18/libpq-envars.html
LIBPQ_VARIABLES = {
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGREQUIREAUTH"),
    *("PGCHANNELBINDING", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGAPPNAME", "PGSSLMODE", "PGREQUIRESSL"),
    *("PGSSLNEGOTIATION", "PGSSLCOMPRESSION", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT", "PGSSLCRL"),
    *("PGSSLCRLDIR", "PGSSLSNI", "PGREQUIREPEER", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING"),
    *("PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"),
    *("PGDATESTYLE", "PGTZ", "PGGEQO", "PGSYSCONFDIR", "PGLOCALEDIR"),
}
# A killed postmaster's children need a moment to go; a free port may be taken before the server binds it.
PASSING = ("pre-existing shared memory block", "could not bind IPv4 address")


class EmbeddedPostgres:
    """One private server in one folder. `stop` ends it only if this object started it or found it running."""

    def __init__(
        self,
        folder: Path | str,
        *,
        durable: bool = True,
        tcp: bool = False,
        max_connections: int = 100,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.durable = durable  # False: no fsync; a crash of the machine may lose the database
        self.tcp = tcp  # listen on a free port of 127.0.0.1 too; its DSN carries a password
        self.max_connections = max_connections
        self.settings = dict(settings or {})  # settings of the server; they override ours
        self._held: Place | None = None

    @property
    def home(self) -> Path:
        """Return where the database is: the given folder, or one in /var/tmp that the server's user can reach."""
        return self._place().home

    def start(self) -> str:
        """The DSN of the server, which is started unless it runs already."""
        forget_libpq_variables()
        with self._explained():
            self.folder.resolve().parent.mkdir(parents=True, exist_ok=True)
            place = self._place()
            place.make()
            with place.locked():
                found = place.steady_server()
                try:
                    dsn = self._dsn(place, found or self._launch(place))
                except BaseException:
                    if found is None:
                        place.halt("immediate")
                    raise
            self._held = place
            return dsn

    def attach(self) -> str | None:
        """The DSN of the server if it runs already; this object may then stop it."""
        forget_libpq_variables()
        with self._explained():
            place = self._place()
            if not place.data.is_dir():
                return None
            with place.locked():
                if (server := place.steady_server()) is None:
                    return None
                self._held = place
                return place.dsn(server)

    def stop(self) -> None:
        if self._held is not None and self._held.data.is_dir():
            with self._held.locked():
                self._held.halt("fast")
        self._held = None

    def restart(self, mode: str = "fast", *, down_s: float = 0.0) -> None:
        """Stop the server and start it again under the same DSN; `immediate` stops it as a crash would.

        `down_s`: how long it is down in between.
        """
        with self._explained():
            place = self._place()
            with place.locked():
                if (server := place.steady_server()) is None:
                    raise DatabaseNotReady(f"no server runs in {place.home}")
                place.halt(mode)
                sleep(down_s)
                self._launch(place, port=server.port)

    def remove(self) -> None:
        """Stop the server if it runs, and delete its database, also the one in /var/tmp."""
        self.attach()
        self.stop()
        home = self.home
        for name in OUR_FILES:
            if (home / name).is_dir():
                shutil.rmtree(home / name)
            else:
                (home / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it does not exist, or other files are in it
            home.rmdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        if "\n" in str(self.folder) or "\0" in str(self.folder):
            raise SettingsError(f"{str(self.folder)!r} is not a valid name for a database folder")
        try:
            yield
        except OSError as error:
            raise SettingsError(f"{self.folder} cannot hold a database: {error}") from error

    def _place(self) -> Place:
        return Place.choose(self.folder.resolve())

    def _launch(self, place: Place, *, port: int | None = None) -> Server:
        if not (place.data / "PG_VERSION").exists():
            place.initdb(durable=self.durable)
        deadline = monotonic() + START_TIMEOUT_S
        while (said := place.launch(self._settings(place, port))) is not None:
            place.halt("immediate")  # pg_ctl may have given up on one that is still starting
            if monotonic() > deadline or not any(reason in said for reason in PASSING):
                raise DatabaseNotReady(f"PostgreSQL did not start in {place.home}:\n{said.strip()}")
            sleep(POLL_S)
        if (server := place.server()) is None:
            raise DatabaseNotReady(f"PostgreSQL started in {place.home} and went away; see {place.log}")
        return server

    def _dsn(self, place: Place, server: Server) -> str:
        if self.tcp and not server.address:
            raise DatabaseNotReady(f"the database in {place.home} runs without TCP: stop it first")
        return place.dsn(server)

    def _settings(self, place: Place, port: int | None) -> dict[str, str]:
        socket_dir = str(place.socket_dir()).replace('"', '""')
        return {
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(port or (free_port() if self.tcp else PORT)),
            "unix_socket_directories": f'"{socket_dir}"',
            "max_connections": str(self.max_connections),
            **({"shared_preload_libraries": "pg_stat_statements"} if has_statistics(place.bin) else {}),
            **({} if self.durable else NOT_DURABLE),
            **self.settings,
        }


def forget_libpq_variables() -> None:
    """A process with its own server, and its children, use no other server: they ignore PGSERVICE and the like.

    No DSN can take all of them back: where PGSERVICE names a service that is not there, libpq does not read the rest.
    """
    for name in [name for name in os.environ if name in LIBPQ_VARIABLES]:
        del os.environ[name]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
