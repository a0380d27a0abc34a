"""Different rows with the same idempotency key: only the first would become a blog."""

import json
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from blogworker.queue.validation import NewJob


class Repeats:
    """The content under each idempotency key of each site. The queue takes only the first blog of a key, so a different
    second one would be lost silently."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, str, int]] = {}  # digest of the key -> digest of the blog, file, line

    def contradiction(self, blog: NewJob, file: str, line: int) -> str | None:
        """The fault of a blog whose key a different blog already has; None if there is none."""
        if blog.idempotency_key is None:
            return None
        digest = _digest(_content(blog))
        first_digest, first_file, first_line = self._seen.setdefault(
            _digest((blog.instance_id, blog.idempotency_key)), (digest, file, line)
        )
        if first_digest == digest:
            return None
        where = f"line {first_line}" if first_file == file else f"{first_file}:{first_line}"
        return (
            f"{where} has the same key {blog.idempotency_key!r:.60} and different content: remove one of them, or give "
            "each its own identifier or idempotency_key"
        )


def _content(blog: NewJob) -> list[Any]:
    """All fields that make the blog. Letter case and spacing of a keyword do not count."""
    data = dict(blog.source_data)
    subject: object = None
    if blog.source_type == "keyword":
        subject = " ".join(str(data.pop("keyword", blog.source_id)).split()).casefold()
        blog = replace(blog, source_id=blog.source_id if "keyword" in blog.source_data else None)
    times = [str(time) for time in (blog.run_at, blog.publish_at)]
    return [blog.source_type, subject, blog.source_id, data, times, blog.publish_mode, blog.priority, blog.max_attempts]


def _digest(value: object) -> int:
    return int.from_bytes(blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).digest())
