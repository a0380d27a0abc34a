"""Logins that are members of the group roles, and a database with a job in it."""

from dataclasses import dataclass
from typing import Any

import psycopg

KEYWORD = "(instance_id, source_type, source_id) values ('shop', 'keyword', 'linen')"
LIFE = """
insert into sites (instance_id) values ('shop');
insert into blog_generations (instance_id, source_type, source_id) values
    ('shop', 'keyword', 'a'), ('shop', 'keyword', 'b');
update blog_generations set status = 'FAILED', error = 'refused' where id = 1;
insert into quotas (name, provider, requests_per_minute) values ('openai/small', 'openai', 450);
insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values ('w', '00000000-0000-0000-0000-000000000001', 'h', 1, '0', 9, now() + interval '1 day');
update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id = 2;
update provider_health set state = 'open', reason = 'down', opened_at = now(), retry_at = now() where provider = 'wix';
"""


@dataclass(frozen=True, slots=True)
class Logins:
    """A database with the roles, and a session of a member of each that has nothing else."""

    owner: psycopg.Connection[dict[str, Any]]
    url: str
    of: dict[str, psycopg.Connection[dict[str, Any]]]


def attempted(session: psycopg.Connection[dict[str, Any]], deed: str) -> psycopg.Error | None:
    """The database's answer to a statement, which is rolled back."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(deed.encode())
    except psycopg.Error as error:
        return error
    return None
