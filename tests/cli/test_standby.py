"""DATABASE_URL points at a hot standby, as after a failover that went the other way: one line says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from blogworker.bench.environment.pair import Member, Pair, started_pair
from blogworker.db.migrate import migrate
from blogworker.db.pool import connect
from tests.e2e.conftest import until
from tests.web.conftest import serving

from .refusals import DONE, FAILED, KEYS, REFUSED, complained

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]
ADVICE = "the database is a standby: point DATABASE_URL at the primary, or wait until it takes writes"
CRITICAL = 2  # the exit code that a monitor knows


async def migrated(url: str) -> None:
    async with await connect(url, timeout_s=5) as connection:
        await migrate(connection)


@contextmanager
def migrated_pair() -> Iterator[Pair]:
    """A migrated primary, and a standby that has all of it."""
    with started_pair() as pair:
        pair.make_synchronous()
        anyio.run(migrated, pair.dsn)
        pair.wait_for_standby()
        yield pair


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with migrated_pair() as pair:
        yield pair


@pytest.fixture
def url(pair: Pair) -> str:
    return url_of(pair.standby)


def url_of(*members: Member) -> str:
    hosts = ",".join(str(member.place.socket_dir()) for member in members)
    ports = ",".join(str(member.port) for member in members)
    return f"postgresql://postgres@/postgres?host={hosts}&port={ports}"


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["run", "--until-empty"],
        ["status"],
        ["list"],
        ["autoscale"],
        ["migrate"],
        ["migrate", "--status"],
        ["enqueue", "--site", "s", "--keyword", "k"],
    ],
)
def test_a_command_exits_with_75_and_says_what_to_do(offline: Any, url: str, command: list[str]) -> None:
    """systemd and scripts repeat it: the standby may be promoted at any moment."""
    complained(offline(*command, **KEYS, DATABASE_URL=url), code=REFUSED, of=ADVICE)


def test_a_monitor_and_doctor_report_it(offline: Any, url: str) -> None:
    monitored = offline("status", "--check", DATABASE_URL=url)
    examined = offline("doctor", "--json", DATABASE_URL=url)

    assert (monitored.code, monitored.err) == (CRITICAL, "")
    assert monitored.out.count("\n") == 1
    assert monitored.out.startswith("CRITICAL: the database ")
    assert ADVICE in monitored.out
    assert examined.code == FAILED
    assert [(check["state"], check["finding"]) for check in examined.json if check["name"] == "database"] == [
        ("wrong", ADVICE)
    ]


def test_serve_does_not_start(offline: Any, url: str) -> None:
    """Its unit starts it again."""
    complained(offline("serve", "--port", "0", DATABASE_URL=url), code=REFUSED, of=ADVICE)


def test_a_url_with_both_servers_reaches_the_primary(offline: Any, pair: Pair) -> None:
    """With target_session_attrs=read-write nothing has to be changed after a failover."""
    ran = offline("status", DATABASE_URL=pair.dsn)

    assert ran.code == DONE, ran


def test_a_server_that_falls_back_to_a_standby_is_unready_until_it_is_promoted(tmp_path: Path) -> None:
    """Without target_session_attrs in its URL, it connects to whatever answers."""
    with (
        migrated_pair() as pair,
        serving(url_of(pair.primary, pair.standby), tmp_path) as served,
        served.client() as client,
    ):
        assert client.get("/readyz").status_code == 200
        pair.primary.crash()
        until(lambda: ADVICE in client.get("/readyz").text)
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert int(unready.headers["retry-after"]) > 0
        assert unready.json()["detail"] == ADVICE
        assert client.get("/healthz").status_code == 200

        pair.standby.promote()
        until(lambda: client.get("/readyz").status_code == 200)
