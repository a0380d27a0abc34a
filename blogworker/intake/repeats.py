"""Rows with the same idempotency key: the queue accepts only the first."""

import json
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from blogworker.errors import Fault
from blogworker.intake.identity import same_keyword
from blogworker.intake.rows import Skipped
from blogworker.queue.validation import NewJob


class Repeats:
    """The content of each idempotency key of each site. The queue accepts only the first job of a key, so a different
    second job would be lost silently."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, str, int]] = {}  # digest of the key -> digest of the job, file, line

    def of(self, job: NewJob, file: str, line: int) -> Fault | Skipped | None:
        """Return the fault of a job if a different job has the same key. Skip it if its file has the same job."""
        if job.idempotency_key is None:
            return None
        digest = _digest(_content(job))
        first_digest, first_file, first_line = self._seen.setdefault(
            _digest((job.instance_id, job.idempotency_key)), (digest, file, line)
        )
        if first_digest == digest:
            return Skipped(line, f"it repeats line {first_line}") if first_file == file and first_line < line else None
        where = f"line {first_line}" if first_file == file else f"{first_file}:{first_line}"
        return Fault(
            line,
            f"{where} has the same key {job.idempotency_key!r:.60} and different content: remove one of them, or give "
            "each its own identifier or idempotency_key",
        )


def _content(job: NewJob) -> list[Any]:
    """Return all fields that define the job. Letter case and spacing of a keyword do not count."""
    data = dict(job.source_data)
    subject: object = None
    if job.source_type == "keyword":
        subject = same_keyword(str(data.pop("keyword", job.source_id)))
        job = replace(job, source_id=job.source_id if "keyword" in job.source_data else None)
    times = [str(time) for time in (job.run_at, job.publish_at)]
    return [job.source_type, subject, job.source_id, data, times, job.publish_mode, job.priority, job.max_attempts]


def _digest(value: object) -> int:
    return int.from_bytes(blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).digest())
