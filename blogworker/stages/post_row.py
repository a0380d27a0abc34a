"""What a stage has made of the post, as parameters of the statements that store it: `blog_posts` and the library."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from psycopg.types.json import Json

from blogworker.db.storable import storable, truncated
from blogworker.stages.records import Output
from blogworker.stages.work import LibraryEntry

TEXT_MAX = dict.fromkeys(("markdown", "html"), 1_000_000)  # characters; other texts: OTHER_TEXT_MAX
OTHER_TEXT_MAX = 10_000
TAGS_MAX = 100


@dataclass(frozen=True, slots=True)
class AtEnd:
    """What is stored with the end of the stage: see `Checkpoints.store_at_end`."""

    changes: Output = field(default_factory=dict)
    whole: Output = field(default_factory=dict)
    entry: LibraryEntry | None = None

    def parameters(self) -> dict[str, Any]:
        post = post_parameters(self.changes) if self.changes else {"post": None, "image": None}
        return post | {"entry": None if self.entry is None else entry_parameter(self.entry)}


def post_parameters(post: Output) -> dict[str, Any]:
    stored = storable({key: value for key, value in post.items() if key != "image"})
    return {"post": Json({key: _column(key, value) for key, value in stored.items()}), "image": post.get("image")}


def entry_parameter(entry: LibraryEntry) -> Json:
    return Json(_storable(entry))


def entries_parameter(entries: Sequence[LibraryEntry]) -> Json:
    return Json([_storable(entry) for entry in entries])


def _storable(entry: LibraryEntry) -> Output:
    stored: Output = storable({**asdict(entry), "terms": list(entry.terms)})
    return stored


def _column(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return truncated(value, TEXT_MAX.get(name, OTHER_TEXT_MAX))
    return value[:TAGS_MAX] if isinstance(value, list) else value
