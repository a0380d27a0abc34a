"""The options of the simulator: credentials, quotas, latency and retention of each provider."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Quotas are per provider minute, and times are in provider seconds, unless the field says otherwise.

    Clients see real time. At speed 10, a quota of 450 is advertised and enforced as 4,500 per real minute, and a token
    with a lifetime of four hours expires after 24 minutes.
    """

    seed: int = 1
    speed: float = 1.0  # how many times faster than the real providers
    latency_scale: float = 1.0  # factor on latencies only

    openai_key: str = ""  # the only key accepted; empty accepts any
    openai_rpm: float = 450
    openai_tpm: float = 450_000
    openai_burst: float = 1.0  # size of the bucket, as a share of the quota of one minute
    openai_charge_refused: bool = True  # rejected requests take from the request bucket too
    openai_correct_usage: bool = True  # correct the token charge when the real usage is known
    openai_rate_headers: bool = True
    openai_tail: float = 0.005  # share of the answers that take more than two minutes

    replicate_token: str = ""
    replicate_rpm: float = 600  # predictions created
    replicate_read_rpm: float = 3_000
    replicate_burst: float = 1.0
    replicate_low_credit: bool = False  # 6 predictions a minute, burst 1
    replicate_retention_s: float = 3_600
    replicate_cold: float = 0.01  # share of the predictions with a cold start
    replicate_files_need_token: bool = False

    wix_app_id: str = ""
    wix_secret: str = ""
    wix_rpm: float = 200  # per site
    wix_window_s: float = 60.0  # length of the quota's window, in real seconds
    wix_token_life_s: float = 14_400
    wix_member_interval_s: float = 1.0  # minimum time between the creation of two members of a site
    wix_query_lag_s: float = 0.0  # time until a query finds a new draft
    wix_fetch_timeout_s: float = 30.0  # timeout of an import that fetches its source, in real seconds
    require_wix_sites: bool = False  # the app is installed only on `wix_sites`
    wix_sites: tuple[str, ...] = ()

    kept_requests: int = 2_000  # length of the request log
    keep_bodies: bool = False  # log complete requests, without credentials
    kept_posts: int = 5_000  # posts whose rich content is kept
    kept_pictures: int = 2_000  # imported files whose bytes are kept

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
        """A copy with `values` replaced. Raises ValueError for an unknown name or a wrong type."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown options: {', '.join(unknown)}")
        checked: dict[str, Any] = {name: _checked(name, value, known[name]) for name, value in values.items()}
        return replace(self, **checked)


def _checked(name: str, value: Any, current: object) -> object:
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
