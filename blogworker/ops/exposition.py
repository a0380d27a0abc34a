"""The text format 0.0.4 of Prometheus, for the metrics of the database and for those of one worker.

It is written here in a few lines. `prometheus_client` renders a registry of this process. The values of the database
are read anew for each scrape: they would need a collector and a dependency to be rendered the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from blogworker.printable import printable
from blogworker.redact import SECRETS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    value: float
    labels: Mapping[str, str]
    suffix: str = ""  # of the name: _bucket, _sum and _count of a histogram


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its values now. It has no samples if there is nothing to measure, such as a budget."""

    name: str
    kind: Kind
    help: str
    unit: str  # '' for a number of things; else the last word of the name, before _total
    samples: tuple[Sample, ...] = ()


def render(metrics: Iterable[Metric], *, encoding: str = "utf-8") -> str:
    """Return the text format 0.0.4 of Prometheus. `encoding`: of the output; what it lacks is escaped."""
    return "".join(f"{line}\n" for metric in metrics if metric.samples for line in _lines(metric, encoding))


def _lines(metric: Metric, encoding: str) -> Iterator[str]:
    yield f"# HELP {metric.name} {_escaped(metric.help, encoding)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    series = {f"{each.suffix}{_labels(each.labels, encoding)}": each.value for each in metric.samples}  # none twice
    for name, value in series.items():
        yield f"{metric.name}{name} {_number(value)}"


def _labels(labels: Mapping[str, str], encoding: str) -> str:
    pairs = ",".join(f'{name}="{_quoted(value, encoding)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str, encoding: str) -> str:
    return printable(text, encoding=encoding).replace("\\", r"\\")


def _quoted(value: str, encoding: str) -> str:
    """Return the value of a label without secrets and hidden characters: any program may have written it."""
    return _escaped(SECRETS.hide(value, shapes=False, words=False), encoding).replace('"', r"\"")


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(value)
