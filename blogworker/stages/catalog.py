"""The stages of a job and what each one needs. Claims, pacing, probes, budgets and estimates all read this table.

To add a stage: add it to `Stage`, to CATALOG, and its module to `pipeline.STAGES`.
"""

from dataclasses import dataclass

from blogworker.queue.job import Stage
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import PaidCall

OPENAI, REPLICATE, WIX = "openai", "replicate", "wix"
PREDICTIONS, READS = "replicate/predictions", "replicate/reads"  # the names that callers of the limiter use
LARGER_CAP = 2  # times the first token limit, after a truncated answer
MOST_TEXT_CALLS = 4  # a draft and a repair, each requested twice
MOST_PICTURES = 2


@dataclass(frozen=True, slots=True)
class Needs:
    """What one stage needs before it can start."""

    provider: str  # its circuit breaker must be closed
    quick: bool  # its calls take seconds, so it is a cheap probe; a post takes half a minute
    guess_s: float  # assumed duration until one is measured, without waits for quotas
    paid: bool = False  # the total budget may stop it


CATALOG = {
    Stage.SOURCE: Needs(OPENAI, quick=True, guess_s=0.0, paid=True),  # the needs of ideas, which follow at once
    Stage.IDEAS: Needs(OPENAI, quick=True, guess_s=4.0, paid=True),
    Stage.CONTENT: Needs(OPENAI, quick=False, guess_s=15.0, paid=True),
    Stage.IMAGE: Needs(REPLICATE, quick=False, guess_s=3.0, paid=True),
    Stage.PUBLISH: Needs(WIX, quick=False, guess_s=3.0),
}
CATALOG_PROVIDER = WIX  # the source stage needs it too, where it reads the product from the site's catalog


def text_quota(model: str) -> str:
    """Return the name of a text model for the limiter."""
    return f"{OPENAI}/{model}"


def text_calls(openai: OpenAISettings) -> dict[Stage, PaidCall]:
    """Return the paid calls for text, by stage."""
    return {
        Stage.IDEAS: _text(Stage.IDEAS, openai, openai.ideas_model, openai.ideas_tokens),
        Stage.CONTENT: _text(Stage.CONTENT, openai, openai.content_model, openai.content_tokens),
    }


def paid_calls(openai: OpenAISettings, replicate: ReplicateSettings) -> dict[Stage, PaidCall]:
    """Return all paid calls, by stage."""
    picture = PaidCall(
        Stage.IMAGE, replicate.model, replicate.bucket("predictions"), tokens=0, most_calls=MOST_PICTURES
    )
    return {**text_calls(openai), Stage.IMAGE: picture}


def _text(stage: Stage, openai: OpenAISettings, model: str, tokens: int) -> PaidCall:
    capped = MOST_TEXT_CALLS // 2 * (1 + LARGER_CAP) * tokens
    return PaidCall(stage, model, openai.bucket(model), tokens, MOST_TEXT_CALLS, capped)
