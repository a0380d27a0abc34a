"""The daemon: claims jobs into slots, runs their stages, extends its lease, and shuts down gracefully.

keepers   settle, lease, rescue, promote, listen, heartbeat      background tasks; they outlive the jobs
  jobs    the claim loop and one task per slot                   drained before the keepers stop
"""

from blogworker.daemon.clients import import_sdks
from blogworker.daemon.forkserver import ForkServer
from blogworker.daemon.isolation import Role
from blogworker.daemon.process import run

__all__ = ["ForkServer", "Role", "import_sdks", "run"]
