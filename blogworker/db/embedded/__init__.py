"""A private PostgreSQL for the demo, the bench and the tests: started, found again, stopped. Never for production.

    home/            the given folder, or one in /var/tmp if the server's user cannot reach it
    |-- lock         held with flock while a server starts or stops, so that two callers take turns
    |-- password     of the superuser; only TCP needs it
    |-- server.log
    `-- data/        mode 0700, with the socket: only users who may enter can connect

PostgreSQL refuses to run as root. Root's server therefore runs as the owner of the folder, or as `nobody` when that is
root. Only the folder itself gets another owner, and no mode of a parent changes. Whether a server runs is read from its
postmaster.pid, so any later process finds it, also after the process that started it was killed.
"""

from blogworker.db.embedded.postgres import EmbeddedPostgres
from blogworker.db.embedded.programs import find_pg_bin
from blogworker.db.embedded.temporary import temporary_server

__all__ = ["EmbeddedPostgres", "find_pg_bin", "temporary_server"]
