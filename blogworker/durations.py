"""Lengths of time as vendors write them."""

import re

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000_001, "µs": 0.000_001}
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|µs|m|s)")
LONGEST = 100  # characters; no duration is longer, and searching a long run of digits takes quadratic time


def go_duration_s(text: str) -> float | None:
    """Seconds of `6m0s`, `120ms`, `1h2m3.5s`, in Go's notation; None if it is not a duration."""
    written = text.strip()
    parts = DURATION.findall(written) if len(written) <= LONGEST else []
    if not parts or "".join(number + unit for number, unit in parts) != written:
        return None
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)
