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

from blogworker.db.embedded.postgres import EmbeddedPostgres
from blogworker.db.embedded.programs import find_pg_bin
from blogworker.db.embedded.temporary import temporary_server

__all__ = ["EmbeddedPostgres", "find_pg_bin", "temporary_server"]
