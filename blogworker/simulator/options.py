"""How the three vendors behave: quotas, latency, retention and what they demand."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """The simulator's dials. Quotas are per vendor minute; times are vendor seconds, divided by `speed`.

    Clients live in real time, so whatever they are told is in real time: at speed 10 a quota of 450 is advertised,
    and enforced, as 4 500 per real minute, and a token of four hours dies after 24 minutes.
    """

    seed: int = 1
    speed: float = 1.0  # how many times faster than the real vendors
    latency_scale: float = 1.0  # extra factor on latencies alone

    openai_key: str = ""  # the only key accepted; empty accepts any
    openai_rpm: float = 450
    openai_tpm: float = 450_000
    openai_burst: float = 1.0  # bucket size as a part of one minute's quota
    openai_charge_refused: bool = True  # refused requests use up the request bucket too
    openai_correct_usage: bool = True  # the token charge is set right when the real usage is known
    openai_rate_headers: bool = True
    openai_tail: float = 0.005  # part of the answers that take more than two minutes

    replicate_token: str = ""
    replicate_rpm: float = 600  # predictions created
    replicate_read_rpm: float = 3_000
    replicate_burst: float = 1.0
    replicate_low_credit: bool = False  # 6 creates a minute, one at a time
    replicate_retention_s: float = 3_600
    replicate_cold: float = 0.01  # part of the predictions that wait for a cold start
    replicate_files_need_token: bool = False

    wix_app_id: str = ""
    wix_secret: str = ""
    wix_rpm: float = 200  # of each site
    wix_window_s: float = 60.0  # real seconds over which that is counted
    wix_token_life_s: float = 14_400
    wix_member_interval_s: float = 1.0  # least time between two members created on one site
    wix_query_lag_s: float = 0.0  # how long a new draft stays invisible to queries
    wix_fetch_timeout_s: float = 30.0  # real seconds an import waits for its source
    require_wix_sites: bool = False  # only `wix_sites` have the app installed
    wix_sites: tuple[str, ...] = ()

    kept_requests: int = 2_000  # length of the request log
    keep_bodies: bool = False  # the log tells each request whole, but for its credentials
    kept_posts: int = 5_000  # posts whose rich content is remembered
    kept_pictures: int = 2_000  # imported files whose bytes are remembered

    def __post_init__(self) -> None:
        for name in (
            "speed",
            "openai_rpm",
            "openai_tpm",
            "openai_burst",
            "replicate_rpm",
            "replicate_read_rpm",
            "wix_rpm",
            "wix_window_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.latency_scale < 0:
            raise ValueError("latency_scale must not be negative")

    def changed(self, values: Mapping[str, Any]) -> "SimulatorOptions":
        """These options with `values` laid over; ValueError names what is unknown or of a wrong type."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown options: {', '.join(unknown)}")
        checked: dict[str, Any] = {name: _like(name, value, known[name]) for name, value in values.items()}
        return replace(self, **checked)


def _like(name: str, value: Any, current: object) -> object:
    match current, value:
        case bool(), bool():
            return value
        case tuple(), list() if all(isinstance(entry, str) for entry in value):
            return tuple(value)
        case str(), str():
            return value
        case bool() | tuple() | str(), _:
            pass
        case _, bool():
            pass
        case int(), int():
            return value
        case float() | int(), int() | float():
            return float(value)
    raise ValueError(f"{name} must look like {current!r}")
