"""The program as it runs in production: producer and worker as logins that are members of one group role each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from tests.forks import Forks, Ran

from .conftest import Queue, Start, Vendors, bare_environment, until

SOON = "2020-01-01T00:00:00Z"

Login = Callable[[str], str]


@pytest.fixture
def login(queue: Queue, database_url: str, tmp_path: Path, forks: Forks) -> Iterator[Login]:
    """Makes a login that is a member of a group role; gives its DSN."""
    made = []

    def new(role: str) -> str:
        name = f"{role}_{uuid4().hex[:20]}"
        queue.run(f"create role {name} login in role blogworker_{role}")
        made.append(name)
        return make_conninfo(database_url, user=name)

    done = command(forks, tmp_path, database_url, "roles")
    assert done.code == 0, done.err
    yield new
    for name in made:
        queue.run(f"drop owned by {name}; drop role {name}")


def command(forks: Forks, folder: Path, url: str, *arguments: str) -> Ran:
    return forks.run(arguments, folder=folder, environment=bare_environment(folder) | {"DATABASE_URL": url})


def test_a_producer_and_a_worker_need_no_more_than_their_roles(
    vendors: Vendors, queue: Queue, start: Start, login: Login, site: str, tmp_path: Path, forks: Forks
) -> None:
    """From the file of a producer to the post on the site, under a budget."""
    (tmp_path / "words.txt").write_text("linen\nbeeswax\n")
    queue.run("update fleet_budget set day_usd = 1000")
    enqueued = command(forks, tmp_path, login("producer"), "enqueue", "--site", site, "--publish-at", SOON, "words.txt")
    assert enqueued.code == 0, enqueued

    worker = start(vendors, DATABASE_URL=login("worker"))

    until(queue.queue_is_empty, of=lambda: f"{queue.told()}\n{worker.said()}")
    assert len(vendors.posts(site)) == 2
    assert queue.value("select count(*) from site_spend") == 1
