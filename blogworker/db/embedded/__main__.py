"""`python -m blogworker.db.embedded DIR [--stop]`."""

import argparse
import shlex
import sys
from pathlib import Path

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.errors import BlogworkerError
from blogworker.telemetry.streams import replace_standard_streams


def main(arguments: list[str] | None = None) -> int:
    """Start a server and print its DSN, or stop it."""
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
            stop = shlex.join([sys.executable, "-m", "blogworker.db.embedded", asked.folder, "--stop"])
            sys.stderr.write(f"it runs until you stop it: {stop}\n")
            if server.home != Path(asked.folder).resolve():
                sys.stderr.write(f"note: the server's user cannot reach {asked.folder}: its data is in {server.home}\n")
    except BlogworkerError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    output = replace_standard_streams()
    code = main()
    output.flush()
    sys.exit(code or int(output.is_incomplete))
