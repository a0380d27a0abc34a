"""Rows that would become one blog although they are about two."""

import json
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from blogworker.queue.newblog import NewBlog


class Repeats:
    """What stands under each idempotency key of each site. The queue takes the first blog of a key and no other, so
    a second one that differs would be lost without a word."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, str, int]] = {}  # digest of the key -> of the blog, its file and line

    def contradiction(self, blog: NewBlog, file: str, line: int) -> str | None:
        """What to do about a good blog whose key is that of another one."""
        if blog.idempotency_key is None:
            return None
        digest = _digest(_content(blog))
        known, other, place = self._seen.setdefault(
            _digest((blog.instance_id, blog.idempotency_key)), (digest, file, line)
        )
        if known == digest:
            return None
        where = f"line {place}" if other == file else f"{other}:{place}"
        return (
            f"{blog.idempotency_key!r:.60} is the key of {where} too, which differs: drop one of them, or give each "
            "an identifier or an idempotency_key of its own"
        )


def _content(blog: NewBlog) -> list[Any]:
    """All that makes the blog. The letters' case and the spacing of a keyword make no other keyword."""
    data = dict(blog.source_data)
    subject: object = None
    if blog.source_type == "keyword":
        subject = " ".join(str(data.pop("keyword", blog.source_id)).split()).casefold()
        blog = replace(blog, source_id=blog.source_id if "keyword" in blog.source_data else None)
    times = [str(time) for time in (blog.run_at, blog.publish_at)]
    return [blog.source_type, subject, blog.source_id, data, times, blog.publish_mode, blog.priority, blog.max_attempts]


def _digest(value: object) -> int:
    return int.from_bytes(blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).digest())
