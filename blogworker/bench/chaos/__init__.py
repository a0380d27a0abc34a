"""A storm over real processes: whatever is killed, frozen, cut or lost, each accepted blog is published exactly once.

    vendors      the simulator, losing answers after the work was done
    workers ---- link ---- Postgres            producers
      kept by      |          |                   by function, in bulk, by hand
      `fleet`    `link`    restarted as after a crash

A seeded schedule strikes for so many seconds, then it is calm until the queue is empty, then `audit` compares what the
database, the vendors and an independent history of the queue say with what was promised.
"""

from blogworker.bench.chaos.audit import Verdict
from blogworker.bench.chaos.campaign import run
from blogworker.bench.chaos.plan import Plan
from blogworker.bench.chaos.promises import Promise

__all__ = ["Plan", "Promise", "Verdict", "run"]
