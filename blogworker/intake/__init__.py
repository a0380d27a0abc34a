"""Intake: read files of producers and turn each row into a new job.

    path, stdin or stream -> jsonl | keywords | products -> Draft -> checked -> Accepted
                                     '-> Fault (line, reason), Skipped (line, reason)

`read` streams: it keeps one row (or one product) and the keys that detect repeated rows. Products that are not visible
in their shop are skipped. A caller that enqueues all rows or none reads twice: first for the faults, then for the
jobs. `at_rest` makes stdin readable twice.
"""

from blogworker.intake.identity import site_of
from blogworker.intake.read import Kind, at_rest, read
from blogworker.intake.repeats import Repeats
from blogworker.intake.rows import Accepted, Row, Skipped

__all__ = ["Accepted", "Kind", "Repeats", "Row", "Skipped", "at_rest", "read", "site_of"]
