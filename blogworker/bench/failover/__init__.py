"""What happens to workers when somebody else restarts, restores and fails over their Postgres.

pair     a primary and a standby with streaming replication
faults   what is done to them
measure  workers under load, one fault, and what it has cost
"""

from blogworker.bench.failover.faults import FAULTS
from blogworker.bench.failover.measure import Figure, Plan, measure

__all__ = ["FAULTS", "Figure", "Plan", "measure"]
