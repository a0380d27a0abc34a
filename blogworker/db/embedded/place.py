"""The folder of one server: its data, its programs, start and stop."""

import contextlib
import fcntl
import os
import re
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.parse import quote

from blogworker.db.embedded.programs import find_pg_bin, programs_for
from blogworker.db.embedded.user import SHARED, User, digest
from blogworker.errors import DatabaseNotReady, SettingsError

START_TIMEOUT_S = 60
INITDB_TIMEOUT_S = 180
LOCK_TIMEOUT_S = START_TIMEOUT_S + INITDB_TIMEOUT_S
POLL_S = 0.05
SOCKET_PATH_MAX = 103  # bytes: 107 on Linux, 103 on macOS
PORT = 5432
PLAIN = "hostaddr=&options=&gssencmode=disable&target_session_attrs=any"
LOCALE = "C" if sys.platform == "darwin" else "C.UTF-8"
OUR_FILES = {"lock", "password", "server.log", "data", "data.new"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, read from its postmaster.pid."""

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
        """Whether the pid of a stale file now belongs to a zombie or to another program. pg_ctl would accept both."""
        try:
            return re.search(r"\(postgres\) [^ZX]", Path(f"/proc/{self.pid}/stat").read_text()) is None
        except OSError:
            return False

    def answers(self) -> bool:
        """Whether it accepts connections. A server that was just killed does not."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(1)
            probe.connect(f"{self.socket_dir}/.s.PGSQL.{self.port}")
            return True
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one server, the user that it runs as, and its programs."""

    home: Path
    user: User | None
    bin: Path

    @classmethod
    def choose(cls, folder: Path) -> "Place":
        user = User.for_folder(folder)
        home = folder if user is None or user.reaches(folder.parent) else SHARED / f"blogworker-{digest(folder)}"
        return cls(home, user, programs_for(find_pg_bin(), user))

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def password(self) -> str:
        """The password that TCP asks for."""
        return (self.home / "password").read_text()

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
        """Give a folder to the server's user, unless another user owns it or it is a link."""
        uid = os.geteuid() if self.user is None else self.user.uid
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in {uid, os.geteuid()}:
            raise SettingsError(f"{folder} is not a folder of the user who runs the database")
        if self.user is not None:
            os.chown(folder, self.user.uid, self.user.gid)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder: no other process starts or stops a server in it during the block."""
        with self._open("lock", os.O_RDWR) as lock:
            deadline = monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if monotonic() > deadline:
                        raise DatabaseNotReady(f"another process has {self.home} locked") from None
                    sleep(POLL_S)
            yield

    def _open(self, name: str, flags: int) -> IO[bytes]:
        # The folder belongs to the server's user: root must not follow a link in it.
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
            raise DatabaseNotReady(f"initdb failed in {self.home}:\n{ran.stderr.strip()[-2000:]}")
        fresh.rename(self.data)

    def socket_dir(self) -> Path:
        """The data folder, or another one: a socket path has a limit, and libpq separates hosts by commas."""
        if len(os.fsencode(self.data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX and "," not in str(self.data):
            return self.data
        return SHARED / f"blogworker-socket-{digest(self.home)}"

    def launch(self, settings: Mapping[str, str]) -> str | None:
        """Start the server and wait until it accepts connections. Return its output if it does not."""
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
                raise DatabaseNotReady(f"the database in {self.home} does not stop: {ran.stderr.strip()}")
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
                raise DatabaseNotReady(f"the database in {self.home} is {server.status} but does not answer")
            sleep(POLL_S)
        return server

    def dsn(self, server: Server) -> str:
        """Set everything that PG* variables would add otherwise, as far as every version of libpq knows the name."""
        if server.address:
            password = quote(self.password, safe="")
            return f"postgresql://postgres:{password}@{server.address}:{server.port}/postgres?sslmode=disable&{PLAIN}"
        folder = quote(os.fsencode(server.socket_dir), safe="/")
        return f"postgresql://postgres@/postgres?host={folder}&port={server.port}&{PLAIN}"

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
                # A minimal environment: no PG* variable misleads the server, and its user `nobody` can read no API key.
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
            raise DatabaseNotReady(f"{program} did not finish within {limit_s:.0f} s in {self.home}") from None


def _tail(log: IO[bytes]) -> str:
    return "\n".join(log.read().decode(errors="replace").splitlines()[-20:])
