"""The command `blogworker`, also as `python -m blogworker`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run a command. Ctrl-C while its modules are imported ends it without a traceback."""
    try:
        from blogworker.cli import app
    except KeyboardInterrupt:
        sys.exit(130)
    app.main()


if __name__ == "__main__":
    main()
