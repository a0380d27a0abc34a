"""What the program tells the world: structured logs."""

from blogworker.telemetry.log import EVENTS, configure, get_logger, keys_of

__all__ = ["EVENTS", "configure", "get_logger", "keys_of"]
