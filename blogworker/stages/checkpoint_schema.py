"""Checkpoints that cannot be gone on from: an older version's, or changed by hand.

One that can be made again counts as missing, and costs at most what it cost before. Once something may have been shown
to the world none is made again: the post there would be another than the one here, or be there twice.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from blogworker.db.loaders import Unreadable

Saved = Mapping[str, dict[str, Any]]
SHOWN = ("publish.intent", "publish.draft", "publish.asked", "publish.post")


class _Any(BaseModel):
    pass


class _Answer(BaseModel):
    text: str


class _Ideas(BaseModel):
    chosen: dict[str, Any]


class _Review(BaseModel):
    held: bool


class _Content(BaseModel):
    title: str
    slug: str
    excerpt: str
    markdown: str
    html: str
    tags: list[str]
    seo_title: str
    seo_description: str
    word_count: int
    image_alt: str
    image_prompt: str
    score: int | None = Field(None, ge=0, le=100)
    repaired: list[str] = []
    returned: list[str] = []


class _Forgotten(BaseModel):
    titles: list[str]


class _Made(BaseModel):
    id: str


class _Tags(BaseModel):
    ids: list[str]
    categories: list[str] = []


class _Useless(BaseModel):
    ids: list[str] = []


class _Media(BaseModel):
    id: str
    status: str


class _Intent(BaseModel):
    started_at: datetime


SHAPES: dict[str, type[BaseModel]] = {
    "ideas": _Ideas,
    "content": _Content,
    **{f"ideas.{answer}": _Answer for answer in ("draft", "repair", "more", "more_repair")},
    **{f"content.{answer}": _Answer for answer in ("draft", "repair")},
    "ideas.forgotten": _Forgotten,
    "image.prediction": _Made,
    "image.softened": _Made,
    "image.useless": _Useless,
    "publish.tags": _Tags,
    "publish.media": _Media,
    "publish.intent": _Intent,
    "publish.review": _Review,
    "publish.draft": _Made,
    "publish.asked": _Made,
    "publish.post": _Made,
}


def misfits_of(saved: Saved) -> tuple[dict[str, str], dict[str, str]]:
    """Names of checkpoints and what is wrong with each: those to be made again, and those that stop the blog."""
    found = {name: fault for name, output in saved.items() if (fault := _fault(name, output)) is not None}
    if "ideas" in found and "content" in saved:
        found.setdefault("content", "it was written from an idea that does not fit")
    lasting = {name for name in found if name in SHOWN}
    if any(name in saved for name in SHOWN):
        lasting |= {name for name in found if not name.startswith(("image", "publish"))}
    again = {name: fault for name, fault in found.items() if name not in lasting}
    return again, {name: found[name] for name in lasting}


def _fault(name: str, output: object) -> str | None:
    if isinstance(output, Unreadable):
        return f"it cannot be read: {output.reason}"
    try:
        SHAPES.get(name, _Any).model_validate(output)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
    return None
