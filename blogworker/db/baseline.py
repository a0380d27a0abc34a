"""Prints the baseline, migration 1: `sql/schema` as it is now. Only until the first release, see `sql/README.md`."""

import sys

from blogworker.db.sql import schema

HEAD = """\
-- The baseline: the files of sql/schema, joined by `make baseline`. Edit those, not this file: see sql/README.md.

"""


def baseline() -> str:
    return HEAD + schema()


if __name__ == "__main__":
    sys.stdout.write(baseline())
