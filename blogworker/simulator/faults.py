"""Faults set on purpose: which calls they hit, how often, and what they do.

Kinds that any vendor knows, applied around the handler:

    status        answer `status` with `body` (text or JSON) and `headers`, after quota, before the work
    echo          the same, with the call's credential in place of each {credential} in body and headers
    html          the same with a proxy's HTML page, 502 unless `status` says otherwise
    throttle      a 429 in the vendor's own words, with `retry_after_s` when given
    latency       `delay_s` real seconds before the work
    reset_before  reset the connection; nothing was done
    reset_after   do the work, then reset the connection without an answer
    no_answer     do the work, then stay silent until the client leaves or `delay_s` is over
    slow_body     do the work, send half the answer, wait `delay_s`, send the rest
    malformed     do the work, answer JSON that breaks off
    altered       do the work, answer with the fields of `body` in place of the answer's own; a `body` that is not an
                  object replaces the whole answer, a text unchanged

Kinds that one vendor understands are told in that vendor's modules; they reach its handlers as `call.fault`.
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
VENDOR_KINDS: Mapping[str, frozenset[str]] = {
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
VENDORS = tuple(VENDOR_KINDS)


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
    """One fault. It hits calls that match all of vendor, operation, site, model and `contains`."""

    kind: str
    vendor: str = "*"
    operation: str = "*"  # a name from the request log, `*` and `?` allowed
    site: str = ""  # a Wix instance id
    model: str = ""
    contains: str = ""  # text the request body must hold
    probability: float = 1.0
    times: int | None = None  # how many calls it may hit; null for no end
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 1.0  # real seconds
    retry_after_s: float | None = None
    code: str = ""  # a vendor's error code, where the kind has one
    message: str = ""
    stubborn: bool = False  # of a model that misbehaves: the repair of its answer does so again
    id: int = 0
    hits: int = 0

    def matches(self, vendor: str, operation: str, *, site: str, model: str, body: bytes) -> bool:
        return (
            self.times != 0
            and self.vendor in ("*", vendor)
            and fnmatchcase(operation, self.operation)
            and self.site in ("", site)
            and self.model in ("", model)
            and (not self.contains or self.contains.encode() in body)
        )


class FaultRegistry:
    """The faults in force, in the order they were set; a call meets at most one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"faults:{seed}")
        self._faults: list[Fault] = []
        self._next_id = 1
        self.hits: Counter[str] = Counter()

    def add(self, values: Mapping[str, Any]) -> Fault:
        """Set a fault from its JSON form. ValueError says what is wrong with it."""
        fault = parse_fault(values)
        fault.id = self._next_id
        self._next_id += 1
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Remove one fault, or all; how many were removed."""
        before = len(self._faults)
        self._faults = [f for f in self._faults if fault_id is not None and f.id != fault_id]
        return before - len(self._faults)

    def draw(self, vendor: str, operation: str, *, site: str = "", model: str = "", body: bytes = b"") -> Fault | None:
        """The fault this call meets, if any; counts the hit."""
        for fault in self._faults:
            if not fault.matches(vendor, operation, site=site, model=model, body=body):
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            self.hits[f"{vendor}.{fault.kind}"] += 1
            return fault
        return None

    def listed(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]


def parse_fault(values: Mapping[str, Any]) -> Fault:
    """A fault from its JSON form, checked."""
    known = {f.name for f in fields(Fault)} - {"id", "hits"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"unknown fault fields: {', '.join(unknown)}")
    if "kind" not in values:
        raise ValueError("a fault needs a kind")
    for name, kinds in TYPES.items():
        if name in values and (
            isinstance(values[name], bool) is not (kinds == (bool,)) or not isinstance(values[name], kinds)
        ):
            raise ValueError(f"{name} cannot be {values[name]!r}")
    fault = Fault(**values)
    if fault.vendor != "*" and fault.vendor not in VENDORS:
        raise ValueError(f"unknown vendor: {fault.vendor}")
    owned = [v for v, kinds in VENDOR_KINDS.items() if fault.kind in kinds and fault.vendor in ("*", v)]
    if fault.kind not in EDGE_KINDS and not owned:
        raise ValueError(f"unknown kind for {fault.vendor}: {fault.kind}")
    if not 0.0 <= fault.probability <= 1.0:
        raise ValueError("probability must be between 0 and 1")
    if fault.times is not None and fault.times < 1:
        raise ValueError("times must be at least 1, or null")
    return fault
