"""What makes two rows the same job: their idempotency key and, with several sites, their site."""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Any

from blogworker.queue.validation import IDEMPOTENCY_KEY_MAX, NewJob

INVISIBLE = re.compile("[\xad\u200b-\u200f\u2060\ufeff]")  # soft hyphens, zero-width characters, marks of direction


def same_keyword(text: str) -> str:
    """Return what is equal for two spellings of a keyword: case, spaces and invisible characters do not count."""
    folded = unicodedata.normalize("NFC", INVISIBLE.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def key_of(job: NewJob) -> str:
    """Return `product:<handle>` or `keyword:<keyword>`; a digest if that is too long or missing."""
    data: dict[str, Any] = job.source_data if isinstance(job.source_data, dict) else {}
    word = {
        "product": job.source_id or data.get("name"),
        "keyword": same_keyword(str(data.get("keyword") or job.source_id or "")),
    }.get(str(job.source_type))
    key = f"{job.source_type}:{word}"
    if word and len(key) <= IDEMPOTENCY_KEY_MAX:
        return key
    digest = sha256(repr(word or data).encode(errors="replace")).hexdigest()
    return f"{str(job.source_type)[:20]}:sha256:{digest}"


def site_of(job: NewJob, sites: Sequence[str]) -> str:
    """Return the site of a job that names none; empty if there are no sites.

    The job alone decides, by rendezvous hashing. So other rows, their order and the order of the sites do not matter,
    and a further site takes only its share of the jobs. Turns would move all rows behind one that was corrected, and
    another site would publish their posts again.
    """
    key = key_of(job)
    return max(sites, key=lambda site: blake2b(f"{site}\n{key}".encode(errors="replace")).digest(), default="")
