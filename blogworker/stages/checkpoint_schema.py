"""Find checkpoints that do not match their record: written by another version, or changed by hand.

Most of them count as missing, and the stage runs again, at most at the cost of its first run. This is not safe once the
post may be on the site: the regenerated post would differ from it, or be there twice. Then the invalid checkpoint stops
the job.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from blogworker.db.loaders import Unreadable
from blogworker.stages import effects, records
from blogworker.stages.records import Checkpoint, Output, Record

KNOWN: tuple[Checkpoint[Any], ...] = (
    records.SOURCE, records.IDEAS, records.CONTENT, records.IMAGE, records.PUBLISH,
    *effects.ANSWERS, effects.IDEAS_FORGOTTEN,
    *(kind(answer.name) for answer in effects.ANSWERS
      for kind in (effects.truncated, effects.refused, effects.useless, effects.unanswered)),
    effects.PREDICTION, effects.SOFTENED, effects.PREDICTION_ASKED, effects.SOFTENED_ASKED,
    effects.USELESS_PREDICTIONS, effects.WITHOUT_COVER,
    effects.REVIEW, effects.MEDIA, effects.TAGS, effects.INTENT, effects.DRAFT, effects.PUBLISH_ASKED,
    effects.PUBLISHED_POST, effects.DELETED_DRAFT,
)  # fmt: skip
RECORDS = {checkpoint.name: checkpoint.record for checkpoint in KNOWN}
ON_SITE = tuple(  # once one of these is stored, the post may be on the site
    checkpoint.name for checkpoint in (effects.INTENT, effects.DRAFT, effects.PUBLISH_ASKED, effects.PUBLISHED_POST)
)


def invalid_checkpoints(saved: Mapping[str, Output]) -> tuple[dict[str, str], dict[str, str]]:
    """Return two mappings of checkpoint names to their faults: those that count as missing, and those that stop the
    job."""
    found = {name: fault for name, output in saved.items() if (fault := _fault(name, output)) is not None}
    if "ideas" in found and "content" in saved:
        found.setdefault("content", "it was written from an idea that is not valid")
    lasting = {name for name in found if name in ON_SITE}
    if any(name in saved for name in ON_SITE):
        lasting |= {name for name in found if not name.startswith(("image", "publish"))}
    missing = {name: fault for name, fault in found.items() if name not in lasting}
    return missing, {name: found[name] for name in lasting}


def _fault(name: str, output: object) -> str | None:
    if isinstance(output, Unreadable):
        return f"it cannot be read: {output.reason}"
    try:
        RECORDS.get(name, Record).load(output)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
    return None
