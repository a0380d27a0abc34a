"""What happens to workers when their Postgres is restarted, restored or failed over.

pair     a primary and a standby with streaming replication
faults   what is done to the servers
measure  workers under load, one fault, and what it costs
"""

from blogworker.bench.failover.faults import FAULTS
from blogworker.bench.failover.measure import Figure, Plan, measure

__all__ = ["FAULTS", "Figure", "Plan", "measure"]
