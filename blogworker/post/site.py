"""What a site's owner asks of every post: `sites.settings`, as `blogworker sites set --settings` takes them.

A person's mistake is told to that person, all of it at once. A worker that meets a setting it cannot use, because
somebody wrote it with SQL, goes on without that one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from blogworker.errors import SettingsError
from blogworker.post.plain import plain
from blogworker.post.product_url import checked_template
from blogworker.settings import ImageTrouble

LONGEST = 300
WORD_LENGTH = 60
LEAST_WORDS, MOST_WORDS = 300, 3_000
MOST_EVERY = 1_000
UNTOLD = {"member_id", "publish_mode", "image_trouble", "product_url", "review_every"}
LANGUAGE_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"


def _told(text: str) -> str:
    if not (cleaned := plain(text, limit=LONGEST)):
        raise ValueError("is empty")
    return cleaned


Told = Annotated[str, Field(max_length=LONGEST), AfterValidator(_told)]
Template = Annotated[str, AfterValidator(checked_template)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_LENGTH), AfterValidator(_told)]


class SiteSettings(BaseModel):
    """All of them; what is not given is left to the writer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str | None = Field(None, pattern=LANGUAGE_TAG, description="a tag such as en, de or pt-BR")
    tone: Told | None = None
    name: Told | None = None  # of the shop
    about: Told | None = None
    audience: Told | None = None
    country: Told | None = None
    brand_words: list[Word] = Field([], max_length=30, description="to be written exactly so")
    forbidden_words: list[Word] = Field([], max_length=200, description="that no post may hold")
    words: int | None = Field(None, ge=LEAST_WORDS, le=MOST_WORDS, description="length of a post")
    member_id: str | None = Field(None, min_length=1, max_length=100, description="the author at Wix")
    image_trouble: ImageTrouble | None = Field(None, description="what becomes of a post without a picture")
    publish_mode: Literal["publish", "draft"] | None = Field(None, description="draft: the owner publishes by hand")
    review_every: int | None = Field(None, ge=1, le=MOST_EVERY, description="of how many posts one stays a draft")
    product_url: Template | None = None  # of the pages that posts link to, where a product has no url

    def facts(self) -> dict[str, Any]:
        """What the writer is told."""
        return self.model_dump(exclude_defaults=True, exclude=UNTOLD)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings to store: those given, cleaned; null stays null and takes a setting back. Raises SettingsError."""
    try:
        settings = SiteSettings.model_validate({key: value for key, value in given.items() if value is not None})
        SiteSettings.model_validate({key: None for key in given if key not in SiteSettings.model_fields})
    except ValidationError as error:
        raise SettingsError("; ".join(_fault(fault) for fault in error.errors())) from None
    return {key: None if value is None else getattr(settings, key) for key, value in given.items()}


def usable(stored: Mapping[str, Any]) -> SiteSettings:
    """What of the stored settings can be used."""
    known = {key: value for key, value in stored.items() if key in SiteSettings.model_fields and value is not None}
    try:
        return SiteSettings.model_validate(known)
    except ValidationError as error:
        bad = {fault["loc"][0] for fault in error.errors()}
        return SiteSettings.model_validate({key: value for key, value in known.items() if key not in bad})


def _fault(fault: Any) -> str:
    path = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"{path} is not a setting of a site; known are {', '.join(SiteSettings.model_fields)}"
    field = SiteSettings.model_fields.get(str(fault["loc"][0]))
    told = f" ({field.description})" if field is not None and field.description else ""
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}{told}"
