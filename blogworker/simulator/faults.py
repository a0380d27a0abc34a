"""Injected faults: which calls they hit, how often, and what they do.

Kinds for every provider, applied by `edge` around the handler:

    status        answer `status` with `body` (text or JSON) and `headers`, after the quota and before the work
    echo          as `status`, with each {credential} in body and headers replaced by the credential of the call
    html          as `status`, with the HTML error page of a proxy; default 502
    throttle      answer the provider's 429, with `retry_after_s` if it is set
    latency       wait `delay_s` real seconds before the work
    reset_before  reset the connection before the work
    reset_after   do the work, then reset the connection without an answer
    no_answer     do the work, then send nothing until the client disconnects or `delay_s` is over
    slow_body     do the work, send half of the answer, wait `delay_s`, send the rest
    malformed     do the work, send truncated JSON
    altered       do the work, send the answer with the fields of `body` replaced; a `body` that is not an object
                  replaces the whole answer, and a text is sent as it is

Each provider documents its own kinds in its module. Its handlers read them from `call.fault`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from blogworker.simulator.misbehaviours import MISBEHAVIOURS

EDGE_KINDS = frozenset(
    [
        "status",
        "echo",
        "html",
        "throttle",
        "latency",
        "reset_before",
        "reset_after",
        "no_answer",
        "slow_body",
        "malformed",
        "altered",
    ],
)
PROVIDER_KINDS: Mapping[str, frozenset[str]] = {
    "openai": frozenset(
        [
            "refusal",
            "incomplete",
            "incomplete_silent",
            "content_filter",
            "failed",
            "short",
            "poor",
            "talkative",
            "quota_exhausted",
            "slow_down",
            "overloaded",
            "no_headers",
            *MISBEHAVIOURS,
        ]
    ),
    "replicate": frozenset(
        [
            "failed",
            "nsfw",
            "aborted",
            "canceled",
            "stuck",
            "cold",
            "early_output",
            "no_output",
            "no_credit",
            "low_credit",
            "gone",
        ]
    ),
    "wix": frozenset(["revoked", "blog_missing", "stores_missing", "no_scope", "import_failed", "lost_in_query"]),
}
PROVIDERS = tuple(PROVIDER_KINDS)


TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("kind", "vendor", "operation", "site", "model", "contains", "code", "message"), (str,)),
    **dict.fromkeys(("probability", "delay_s"), (int, float)),
    **dict.fromkeys(("times", "status"), (int, type(None))),
    "retry_after_s": (int, float, type(None)),
    "headers": (dict,),
    "stubborn": (bool,),
}


@dataclass(slots=True)
class Fault:
    """One fault, as in `POST /__sim/faults`. It hits calls that match vendor, operation, site, model and `contains`."""

    kind: str
    vendor: str = "*"  # openai, replicate or wix; `*` is any
    operation: str = "*"  # its name in the request log; `*` and `?` are wildcards
    site: str = ""  # a Wix instance id
    model: str = ""
    contains: str = ""  # text in the request body
    probability: float = 1.0
    times: int | None = None  # how many calls it may still hit; null: no limit
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 1.0  # real seconds
    retry_after_s: float | None = None
    code: str = ""  # error code, for kinds that have one
    message: str = ""
    stubborn: bool = False  # for `misbehaviours`: the repaired answer has the same fault
    id: int = 0
    hits: int = 0

    def matches(self, provider: str, operation: str, *, site: str, model: str, body: bytes) -> bool:
        return (
            self.times != 0
            and self.vendor in ("*", provider)
            and fnmatchcase(operation, self.operation)
            and self.site in ("", site)
            and self.model in ("", model)
            and (not self.contains or self.contains.encode() in body)
        )


class FaultRegistry:
    """The active faults, in the order of their creation. The first that matches hits a call; a call has at most one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"faults:{seed}")
        self._faults: list[Fault] = []
        self._next_id = 1
        self.hits: Counter[str] = Counter()

    def add(self, values: Mapping[str, Any]) -> Fault:
        """Add a fault from its JSON form. Raises ValueError."""
        fault = parse_fault(values)
        fault.id = self._next_id
        self._next_id += 1
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Remove one fault, or all. Returns how many it removed."""
        before = len(self._faults)
        self._faults = [f for f in self._faults if fault_id is not None and f.id != fault_id]
        return before - len(self._faults)

    def draw(
        self, provider: str, operation: str, *, site: str = "", model: str = "", body: bytes = b""
    ) -> Fault | None:
        """Return the fault that hits this call, if any, and count the hit."""
        for fault in self._faults:
            if not fault.matches(provider, operation, site=site, model=model, body=body):
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            self.hits[f"{provider}.{fault.kind}"] += 1
            return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]


def parse_fault(values: Mapping[str, Any]) -> Fault:
    """Parse and check a fault in its JSON form. Raises ValueError."""
    known = {f.name for f in fields(Fault)} - {"id", "hits"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"unknown fault fields: {', '.join(unknown)}")
    if "kind" not in values:
        raise ValueError("a fault needs a kind")
    for name, types in TYPES.items():
        if name in values and (
            isinstance(values[name], bool) is not (types == (bool,)) or not isinstance(values[name], types)
        ):
            raise ValueError(f"{name} cannot be {values[name]!r}")
    fault = Fault(**values)
    if fault.vendor != "*" and fault.vendor not in PROVIDERS:
        raise ValueError(f"unknown vendor: {fault.vendor}")
    owners = [name for name, kinds in PROVIDER_KINDS.items() if fault.kind in kinds and fault.vendor in ("*", name)]
    if fault.kind not in EDGE_KINDS and not owners:
        raise ValueError(f"unknown kind for {fault.vendor}: {fault.kind}")
    if not 0.0 <= fault.probability <= 1.0:
        raise ValueError("probability must be between 0 and 1")
    if fault.times is not None and fault.times < 1:
        raise ValueError("times must be at least 1, or null")
    return fault
