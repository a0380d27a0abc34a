"""What one worker measures of itself: durations of stages, calls and claims, waits for quotas, errors, jobs in flight.

The database has the figures of the fleet (`ops/metrics.py`). These exist only in the process, and begin at 0 with it.
The number of series is bounded: no site, job or text is a label, and each metric has MOST_SERIES at most.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from blogworker import __version__
from blogworker.ops.exposition import Kind, Metric, Sample
from blogworker.telemetry import tracing
from blogworker.telemetry.tracing import OPERATION, OUTCOME, PROVIDER, STAGE, Span

MOST_SERIES = 200  # of one metric; what more labels would count has the label OTHER
OTHER = "other"

STAGE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600)  # seconds
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 180)
WAIT_BUCKETS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 120)
CLAIM_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

PLACE = ("provider", "operation")
Labels = tuple[str, ...]


@dataclass(slots=True)
class Counter:
    """Counts by labels."""

    name: str
    labels: Labels
    help: str
    counts: dict[Labels, float] = field(default_factory=dict)

    def add(self, *values: str, count: float = 1) -> None:
        key = _bounded(self.counts, values)
        self.counts[key] = self.counts.get(key, 0) + count

    def metric(self) -> Metric:
        found = tuple(Sample(count, _named(self.labels, values)) for values, count in self.counts.items())
        return Metric(self.name, Kind.COUNTER, self.help, "", found)


@dataclass(slots=True)
class Histogram:
    """Counts durations in seconds by labels and buckets."""

    name: str
    labels: Labels
    help: str
    bounds: Sequence[float]
    counts: dict[Labels, list[int]] = field(default_factory=dict)
    sums: dict[Labels, float] = field(default_factory=dict)

    def add(self, seconds: float, *values: str) -> None:
        key = _bounded(self.counts, values)
        counts = self.counts.setdefault(key, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, seconds)] += 1
        self.sums[key] = self.sums.get(key, 0.0) + seconds

    def metric(self) -> Metric:
        found: list[Sample] = []
        for values, counts in self.counts.items():
            labels = _named(self.labels, values)
            for bound, count in zip([*map(str, self.bounds), "+Inf"], accumulate(counts), strict=True):
                found.append(Sample(count, {**labels, "le": bound}, "_bucket"))
            found += [Sample(self.sums[values], labels, "_sum"), Sample(sum(counts), labels, "_count")]
        return Metric(self.name, Kind.HISTOGRAM, self.help, "seconds", tuple(found))


class Meter:
    """An observer of spans. `metrics`: what it has counted."""

    def __init__(self) -> None:
        self._in_flight = self._slots = 0
        self._stages = Histogram(
            "blogworker_worker_stage_duration_seconds",
            ("stage",),
            "Durations of stages that stored their result, without waits for quotas.",
            STAGE_BUCKETS,
        )
        self._calls = Histogram(
            "blogworker_worker_call_duration_seconds",
            PLACE,
            "Durations of calls to providers, answered or not.",
            CALL_BUCKETS,
        )
        self._waits = Histogram(
            "blogworker_worker_quota_wait_seconds",
            ("provider",),
            "Waits of calls for their quota, also of refused ones.",
            WAIT_BUCKETS,
        )
        self._claims = Histogram(
            "blogworker_worker_claim_duration_seconds",
            (),
            "Durations of claims that the database answered.",
            CLAIM_BUCKETS,
        )
        self._errors = Counter(
            "blogworker_worker_call_errors_total", (*PLACE, "kind"), "Calls that failed: error class or HTTP status."
        )
        self._attempts = Counter(
            "blogworker_worker_attempts_total", ("outcome",), "Attempts that ended; retry is a failed one."
        )
        self._claimed = Counter("blogworker_worker_claimed_jobs_total", (), "Jobs that claims have found.")
        self._claimed.add(count=0)
        self._counted: tuple[Counter | Histogram, ...] = (
            *(self._stages, self._calls, self._waits, self._claims, self._errors, self._attempts, self._claimed),
        )

    def began(self, span: Span) -> None:
        self._in_flight += span.kind is tracing.Kind.ATTEMPT

    def ended(self, span: Span) -> None:
        match span.kind:
            case tracing.Kind.ATTEMPT:
                self._in_flight -= 1
                self._attempts.add(_text(span, OUTCOME))
            case tracing.Kind.STAGE if span.error is None and OUTCOME not in span.attributes:
                self._stages.add(max(0.0, span.duration_s - span.waited_s), _text(span, STAGE))
            case tracing.Kind.CALL:
                place = _text(span, PROVIDER), _text(span, OPERATION)
                self._calls.add(span.duration_s, *place)
                if span.error is not None:
                    self._errors.add(*place, span.error)

    def waited(self, provider: str, seconds: float) -> None:
        self._waits.add(seconds, provider)

    def claimed(self, jobs: int, seconds: float) -> None:
        self._claims.add(seconds)
        self._claimed.add(count=jobs)

    def sized(self, slots: int) -> None:
        self._slots = slots

    def metrics(self) -> list[Metric]:
        """Return all metrics now."""
        return [
            _gauge("blogworker_worker_info", "1; its version is a label.", 1, version=__version__),
            _gauge("blogworker_worker_slots", "Jobs that this worker may run at the same time.", self._slots),
            _gauge("blogworker_worker_in_flight", "Jobs that this worker runs.", self._in_flight),
            *(each.metric() for each in self._counted),
        ]


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, "", (Sample(value, labels),))


def _text(span: Span, attribute: str) -> str:
    return str(span.attributes.get(attribute, OTHER))


def _named(labels: Labels, values: Labels) -> dict[str, str]:
    return dict(zip(labels, values, strict=True))


def _bounded(known: Mapping[Labels, object], values: Labels) -> Labels:
    """Return the labels to count under."""
    return values if values in known or len(known) < MOST_SERIES else (OTHER,) * len(values)
