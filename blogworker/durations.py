"""Parses durations as providers write them."""

import re

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000_001, "µs": 0.000_001}
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|µs|m|s)")
LONGEST = 100  # characters; a search in a long run of digits takes quadratic time


def go_duration_s(text: str) -> float | None:
    """Return the seconds of a duration in the format of Go, such as `6m0s`, `120ms` or `1h2m3.5s`; otherwise None."""
    written = text.strip()
    parts = DURATION.findall(written) if len(written) <= LONGEST else []
    if not parts or "".join(number + unit for number, unit in parts) != written:
        return None
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)
