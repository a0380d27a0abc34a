"""The typed checkpoints within a stage: what it did at a provider before it ended, so that no attempt does it again.

ideas.draft, content.repair, …      answers of a model
image.prediction, image.useless, …  predictions
publish.intent, publish.draft, …    what the post has on its site
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field, PlainSerializer

from blogworker.stages.records import Checkpoint, Record


class Answer(Record):
    """A usable answer."""

    text: str
    request_id: str | None = None
    model: str | None = None
    tier: str | None = None


class UnusableAnswer(Record):
    """An answer that was truncated, refused or without text, or a call whose answer never arrived."""

    times: int = 0  # how often


class ForgottenIdeas(Record):
    """The titles of ideas that a person has rejected, by starting the job again from an earlier stage."""

    titles: list[str]


ANSWERS = tuple(
    Checkpoint(f"{stage}.{answer}", Answer)
    for stage, answers in (("ideas", ("draft", "repair", "more", "more_repair")), ("content", ("draft", "repair")))
    for answer in answers
)
IDEAS_FORGOTTEN = Checkpoint("ideas.forgotten", ForgottenIdeas)


def truncated(answer: str) -> Checkpoint[UnusableAnswer]:
    """The checkpoint of an answer that reached its token limit. `answer`: the name of the usable one."""
    return Checkpoint(f"{answer}_truncated", UnusableAnswer)


def refused(answer: str) -> Checkpoint[UnusableAnswer]:
    return Checkpoint(f"{answer}_refused", UnusableAnswer)


def useless(answer: str) -> Checkpoint[UnusableAnswer]:
    """The checkpoint of answers without text."""
    return Checkpoint(f"{answer}_useless", UnusableAnswer)


def unanswered(answer: str) -> Checkpoint[UnusableAnswer]:
    """The checkpoint of calls that may have been paid for and whose answers never arrived."""
    return Checkpoint(f"{answer}_unanswered", UnusableAnswer)


class Prediction(Record):
    """A prediction that Replicate has created."""

    id: str
    prompt: str | None = None


class PredictionRequest(Record):
    """What is needed to find a prediction whose creation response was lost. Empty: there is nothing to look for."""

    seed: int | None = None
    instead_of: str | None = None  # the id of the prediction that was known when the request was sent


class UselessPredictions(Record):
    """Predictions that were paid for and gave no usable picture."""

    ids: list[str] = Field(default_factory=list)
    reason: str | None = None


class WithoutCover(Record):
    """The decision to publish the post without a picture."""

    reason: str | None = None


PREDICTION = Checkpoint("image.prediction", Prediction)
SOFTENED = Checkpoint("image.softened", Prediction)  # with a softer prompt; it replaces the first
PREDICTION_ASKED = Checkpoint("image.prediction_asked", PredictionRequest)
SOFTENED_ASKED = Checkpoint("image.softened_asked", PredictionRequest)
USELESS_PREDICTIONS = Checkpoint("image.useless", UselessPredictions)
WITHOUT_COVER = Checkpoint("image.without", WithoutCover)


class ReviewDraw(Record):
    """Whether the post is the one of `every` posts of its site that is held for review."""

    held: bool
    every: int | None = None


class Media(Record):
    """The file of the cover in the media manager of the site."""

    id: str
    status: str
    url: str | None = None


class Labels(Record):
    """The tags and categories of the post in the blog of the site."""

    ids: list[str]
    categories: list[str] | None = None


class Intent(Record):
    """The intent to create a draft, saved before the request."""

    started_at: Annotated[datetime, PlainSerializer(datetime.isoformat)]  # by the database clock
    title: str | None = None
    refused: bool = False  # Wix answered that it created nothing


class Draft(Record):
    """The draft that was created."""

    id: str
    title: str | None = None
    media_id: str | None = None  # the file of its cover


class PublishRequest(Record):
    """The intent to publish the draft, saved before the request."""

    id: str
    refused: bool = False  # Wix answered that it does not publish the draft


class PublishedPost(Record):
    """The published post."""

    id: str


class DeletedDraft(Record):
    """A draft that the owner of the site deleted before it was published."""

    id: str | None = None


REVIEW = Checkpoint("publish.review", ReviewDraw)
MEDIA = Checkpoint("publish.media", Media)
TAGS = Checkpoint("publish.tags", Labels)
INTENT = Checkpoint("publish.intent", Intent)
DRAFT = Checkpoint("publish.draft", Draft)
PUBLISH_ASKED = Checkpoint("publish.asked", PublishRequest)
PUBLISHED_POST = Checkpoint("publish.post", PublishedPost)
DELETED_DRAFT = Checkpoint("publish.deleted", DeletedDraft)
