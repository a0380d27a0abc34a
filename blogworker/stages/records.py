"""The typed checkpoints of a job: one record per finished stage. Effects within a stage have theirs in `effects`.

    source -> ideas -> content -> image -> publish

A record is stored as a JSON object. A record of an older version stays readable: a field that was added later has a
default, and a key that is no longer used is kept. `checkpoint_schema` decides what happens to a checkpoint that does
not match its record.
"""

from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Output = dict[str, Any]
R = TypeVar("R", bound="Record")
COLUMNS = frozenset(
    {
        "title", "slug", "excerpt", "markdown", "html", "tags", "seo_title", "seo_description", "word_count",
        "image_alt", "score",
    }
)  # fmt: skip


class Record(BaseModel):
    """Base of all records. `dump` returns the keys that were given or loaded, and no defaults."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def load(cls, output: object) -> Self:
        """Raises ValidationError for an output that does not match."""
        return cls.model_validate(output)

    def dump(self) -> Output:
        return self.model_dump(exclude_unset=True)


@dataclass(frozen=True, slots=True)
class Checkpoint(Generic[R]):
    """The name under which a record is stored."""

    name: str
    record: type[R]


class Source(Record):
    """What the post is about. All other facts of a product (see `product_facts`) are kept as further keys."""

    kind: str = ""  # keyword, text or product
    name: str | None = None
    keyword: str | None = None
    text: str | None = None
    url: str | None = None  # the page of the product
    no_link: str | None = None  # why a product has no `url`
    product_type: Any = None  # the categories of the product, separated by commas
    tags: Any = None
    site: Output | None = None  # the settings of the site that the writer reads


class ChosenIdea(Record):
    """The idea that the post is written from, as `ideas.Idea` has validated it."""

    title: str | None = None
    angle: str | None = None
    audience: str | None = None
    search_intent: str | None = None
    keywords: list[str] | None = None
    outline: list[str] | None = None
    score: int | None = None


class Ideas(Record):
    """The chosen idea, the posts of the site that are related to it, and the ideas that were not chosen."""

    chosen: ChosenIdea
    related: Any = None  # read by `library.known`, which leaves out what is not usable
    others: Any = None
    model: str | None = None  # None: no call was made, the idea came from the cache
    prompt_version: str | None = None


class Content(Record):
    """The post."""

    title: str
    slug: str
    excerpt: str
    seo_title: str
    seo_description: str
    tags: list[str]
    image_prompt: str
    image_alt: str
    markdown: str
    html: str
    word_count: int
    own_url: str = ""
    links: list[str] = []  # addresses of other posts of the site that this post links to
    defects: list[str] = []  # names of all defects that were found
    returned: list[str] = []  # defects that the model was asked to repair
    repaired: list[str] = []  # defects that were repaired without the model
    score: int | None = Field(None, ge=0, le=100)
    model: str | None = None
    prompt_version: str | None = None

    def columns(self) -> Output:
        """The part of the post that its row in `blog_posts` stores. A post of an older version has no score."""
        return self.model_dump(include=set(COLUMNS), exclude_unset=True)


class Cover(Record):
    """The cover picture. Its bytes are stored with the post."""

    url: str | None = None  # None: there is no picture, or it came in a data: URL and its bytes are uploaded to Wix
    reason: str | None = None  # why there is no picture
    prediction_id: str | None = None
    prompt: str | None = None
    alt: str | None = None
    type: str | None = None  # media type
    bytes: int | None = None  # size of the file
    width: int | None = None
    height: int | None = None
    model: str | None = None


class Publication(Record):
    """The result of the last stage."""

    published: bool | None = None
    reason: str | None = None  # why the post is not published
    wix_draft_id: str | None = None
    wix_media_id: str | None = None
    wix_post_id: str | None = None
    url: str | None = None


SOURCE = Checkpoint("source", Source)
IDEAS = Checkpoint("ideas", Ideas)
CONTENT = Checkpoint("content", Content)
IMAGE = Checkpoint("image", Cover)
PUBLISH = Checkpoint("publish", Publication)
