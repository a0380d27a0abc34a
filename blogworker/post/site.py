"""The settings of a site for its posts: the column `sites.settings`, set by `blogworker sites set --settings`.

The command reports all faults at once. If a setting that was written with SQL is not valid, a worker ignores that
setting.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from blogworker.currencies import CODES
from blogworker.errors import SettingsError
from blogworker.post.plain import plain
from blogworker.post.product_url import checked_template
from blogworker.settings import ImageTrouble

LONGEST = 300
WORD_LENGTH = 60
LEAST_WORDS, MOST_WORDS = 300, 3_000
MOST_EVERY = 1_000
NOT_FOR_WRITER = {"member_id", "publish_mode", "image_trouble", "product_url", "review_every", "currency"}
LANGUAGE_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"


def _cleaned(text: str) -> str:
    if not (cleaned := plain(text, limit=LONGEST)):
        raise ValueError("is empty")
    return cleaned


def _checked_currency(text: str) -> str:
    if (code := text.strip().upper()) not in CODES:
        raise ValueError("is not a currency code of ISO 4217: write three letters, such as EUR")
    return code


Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(_cleaned)]
Template = Annotated[str, AfterValidator(checked_template)]
Currency = Annotated[str, AfterValidator(_checked_currency)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_LENGTH), AfterValidator(_cleaned)]


class SiteSettings(BaseModel):
    """All settings of a site. The model decides what is not set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str | None = Field(None, pattern=LANGUAGE_TAG, description="a tag such as en, de or pt-BR")
    tone: Text | None = None
    name: Text | None = None  # of the shop
    about: Text | None = None
    audience: Text | None = None
    country: Text | None = None
    brand_words: list[Word] = Field([], max_length=30, description="words to be spelled exactly like this")
    forbidden_words: list[Word] = Field([], max_length=200, description="words that no post may contain")
    words: int | None = Field(None, ge=LEAST_WORDS, le=MOST_WORDS, description="length of a post")
    member_id: str | None = Field(None, min_length=1, max_length=100, description="the author at Wix")
    image_trouble: ImageTrouble | None = Field(None, description="what happens to a post if its picture cannot be made")
    publish_mode: Literal["publish", "draft"] | None = Field(None, description="draft: the owner publishes by hand")
    review_every: int | None = Field(None, ge=1, le=MOST_EVERY, description="one of this many posts stays a draft")
    product_url: Template | None = None  # for the link of a post to a product that has no url
    currency: Currency | None = None  # of the prices of a product whose source states none

    def facts(self) -> dict[str, Any]:
        """Return the settings that are part of the prompt."""
        return self.model_dump(exclude_defaults=True, exclude=NOT_FOR_WRITER)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given settings, cleaned, to be stored. A null removes a setting. Raises SettingsError."""
    try:
        settings = SiteSettings.model_validate({key: value for key, value in given.items() if value is not None})
        SiteSettings.model_validate({key: None for key in given if key not in SiteSettings.model_fields})
    except ValidationError as error:
        raise SettingsError("; ".join(_fault(fault) for fault in error.errors())) from None
    return {key: None if value is None else getattr(settings, key) for key, value in given.items()}


def usable(stored: Mapping[str, Any]) -> SiteSettings:
    """Return the stored settings that are valid."""
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
    hint = f" ({field.description})" if field is not None and field.description else ""
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}{hint}"
