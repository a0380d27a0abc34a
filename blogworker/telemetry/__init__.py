"""Structured logs, and the standard streams."""

from blogworker.telemetry import tracing
from blogworker.telemetry.log import EVENTS, configure, get_logger, keys_of, quiet_libraries

__all__ = ["EVENTS", "configure", "get_logger", "keys_of", "quiet_libraries", "tracing"]
