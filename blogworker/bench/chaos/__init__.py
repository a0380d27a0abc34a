"""A chaos experiment with real processes. It checks that every accepted job is published exactly once.

    simulator    the providers; some of their answers are lost
        |
    workers ---- proxy ---- Postgres         producers

A schedule, computed from a seed, injects faults for some seconds. Then the queue has time to become empty. Then `audit`
compares the database, the providers and a history of the queue, which triggers write, with the promises.
"""

from blogworker.bench.chaos.audit import Verdict
from blogworker.bench.chaos.experiment import run
from blogworker.bench.chaos.plan import Plan
from blogworker.bench.chaos.promises import Promise

__all__ = ["Plan", "Promise", "Verdict", "run"]
