"""Stage 4: the cover picture, made, fetched and kept with the post.

A picture that the model calls unsafe, or leaves out of its output, is requested once more in softer words. The bytes
are fetched at once, since the vendor deletes them within the hour. A picture that is not a complete JPEG of the shape
requested is not usable: the next attempt fetches it again, then makes another. No blog pays for a third: its post is
published without a picture, or fails if `image_trouble` is `fail`.

A creation whose answer was lost, because the connection or the worker died, may have been paid for: the next
attempt looks for it before it makes another.

What becomes of a post whose picture cannot be had is a setting, and a site may have its own: it waits, goes out without
one (skip), or fails.
"""

from collections.abc import Mapping
from random import getrandbits
from typing import Any, get_args

from blogworker.errors import (
    Misconfigured,
    ProviderDown,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unsent,
)
from blogworker.providers.answer import address
from blogworker.providers.picture import jpeg_size, picture_type
from blogworker.providers.replicate_answers import (
    NO_OUTPUT,
    NSFW,
    PROVIDER,
    PredictionFailed,
    PredictionGone,
    UnusablePicture,
)
from blogworker.quota import ProviderLimits
from blogworker.settings import ImageTrouble
from blogworker.spend.ledger import Spend
from blogworker.stages.catalog import PREDICTIONS
from blogworker.stages.content import columns
from blogworker.stages.work import Output, Work
from blogworker.telemetry import get_logger

ASPECT_RATIO, RATIO = "16:9", 16 / 9
AMISS = 0.1  # models round to what they can draw: 1344 x 768 is 1.6 % off
LEAST_WIDTH = 512  # pixels; the smallest that is drawn on purpose has 672
STYLE = "Natural light, sharp focus, editorial photograph, no text, no logos, no watermark."
SOFTENED = "A calm still life of everyday objects that suggests the topic “{title}”, with no people. "
TRIES = 2  # of a picture that fails, besides the first

USELESS, USELESS_MOST = "image.useless", 2  # predictions that were paid for and gave no usable picture
SOFTENED_FOR = (NSFW, NO_OUTPUT)
EFFECTS = ("prediction", "softened")  # in order: the second replaces the first

log = get_logger()


class NoPicture(Rejected):
    """All that may help was tried; another picture would cost as much and would not be usable either."""


async def run(work: Work) -> Output:
    try:
        return await _cover(work)
    except NoPicture as error:
        if trouble_of(work) != "fail":
            return await _without(work, str(error))
        await work.checkpoints.save(USELESS, {})  # so that `blogworker retry` pays for new pictures
        raise _given_up(error) from error
    except ProviderError as error:
        trouble = trouble_of(work)
        if trouble == "wait" or not _hopeless(work, error):
            raise
        if trouble == "skip":
            return await _without(work, str(error))
        raise _given_up(error) from error


def _given_up(error: ProviderError) -> Rejected:
    message = f"no picture could be made: {error}. Retry the blog later, or set image_trouble to wait or skip"
    return Rejected(message, provider=PROVIDER, code="no_picture")


def trouble_of(work: Work) -> str:
    """What becomes of this post without a picture: the site's own word, else the setting."""
    own = work.claim.site.get("image_trouble")
    return str(own) if own in get_args(ImageTrouble) else work.image_trouble


def _hopeless(work: Work, error: ProviderError) -> bool:
    """Whether there will be no picture soon."""
    if isinstance(error, Unavailable):
        return work.claim.failures >= TRIES
    return isinstance(error, ProviderDown | Misconfigured | Rejected)


async def _without(work: Work, reason: str) -> Output:
    paid = [f"image.{effect}" for effect in EFFECTS]
    await work.checkpoints.save("image.without", {"reason": reason}, replaces=paid)
    content = work.checkpoints.get("content") or {}
    return {
        "url": None,
        "reason": f"no picture: {reason}",
        "prompt": f"{content['image_prompt']} {STYLE}",
        "alt": content["image_alt"],
    }


async def _cover(work: Work) -> Output:
    content = work.checkpoints.get("content") or {}
    prompt = f"{content['image_prompt']} {STYLE}"
    try:
        return await _illustrated(work, content, effect="prediction", prompt=prompt)
    except Rejected as error:
        if isinstance(error, NoPicture) or error.code not in SOFTENED_FOR:
            raise
    softer = SOFTENED.format(title=content["title"]) + STYLE
    try:
        return await _illustrated(work, content, effect="softened", prompt=softer)
    except Rejected as error:
        if isinstance(error, NoPicture) or error.code not in SOFTENED_FOR:
            raise
        raise _no_picture(error) from error


async def _illustrated(work: Work, content: Mapping[str, Any], *, effect: str, prompt: str) -> Output:
    """One picture, stored with its post. Raises Rejected when the model withholds it, NoPicture when no more may be
    paid for."""
    name = f"image.{effect}"
    if (earlier := _known(work, name)) is not None:
        try:
            return await _counted(work, content, earlier, prompt=prompt)
        except (PredictionGone, PredictionFailed):
            pass  # it ended without a picture in an earlier attempt: only a new one can help
    return await _counted(work, content, await _started(work, name=name, prompt=prompt), prompt=prompt)


async def _counted(work: Work, content: Mapping[str, Any], prediction_id: str, *, prompt: str) -> Output:
    """The picture of a prediction. A prediction that was paid for and is not usable is noted, for any reason."""
    try:
        return await _kept(work, content, prediction_id, prompt=prompt)
    except (PredictionGone, UnusablePicture, Rejected) as error:
        if isinstance(error, Rejected) and error.code != NO_OUTPUT:
            raise
        noted = (work.checkpoints.get(USELESS) or {}).get("ids") or []
        if prediction_id not in noted:
            noted = [*noted, prediction_id]
            unused = [name for effect in EFFECTS if _known(work, name := f"image.{effect}") in noted]
            await work.checkpoints.save(USELESS, {"ids": noted, "reason": str(error)}, replaces=unused)
        if len(noted) >= USELESS_MOST:
            raise _no_picture(error) from error
        raise


def _no_picture(error: ProviderError) -> NoPicture:
    return NoPicture(error.args[0], provider=PROVIDER, status=error.status, code=error.code)


async def _kept(work: Work, content: Mapping[str, Any], prediction_id: str, *, prompt: str) -> Output:
    """The picture of a prediction, once it is there, checked, and stored with its post."""
    replicate = work.vendors.replicate
    # One prediction that died or one file that is refused says nothing of the vendor.
    async with work.breakers.guarding(PROVIDER, exempt=(PredictionGone, PredictionFailed), secondary=True):
        url = await replicate.wait(prediction_id)
    async with work.breakers.guarding(PROVIDER, exempt=(PredictionGone, PredictionFailed), secondary=True):
        data = await replicate.download(url)
    width, height = _shape(data)
    await work.checkpoints.store_post(
        {**columns(content), "image": data, "image_type": picture_type(data), "image_prompt": prompt}
    )
    return {
        "url": address(url),  # None: the picture came in a data: URL, and its bytes are uploaded to Wix
        "prediction_id": prediction_id,
        "prompt": prompt,
        "alt": content["image_alt"],
        "type": picture_type(data),
        "bytes": len(data),
        "width": width,
        "height": height,
        "model": replicate.model,
    }


def _shape(data: bytes) -> tuple[int, int]:
    """Width and height. Raises UnusablePicture for a file that cannot be a cover."""
    size = jpeg_size(data)
    if size is None:
        raise UnusablePicture("the file is not a JPEG", provider=PROVIDER, code="not_a_jpeg")
    width, height = size
    if width < LEAST_WIDTH or not 1 - AMISS <= width / max(height, 1) / RATIO <= 1 + AMISS:
        message = f"the picture is {width} x {height}, not {ASPECT_RATIO} and at least {LEAST_WIDTH} wide"
        raise UnusablePicture(message, provider=PROVIDER, code="wrong_shape")
    return size


async def _started(work: Work, *, name: str, prompt: str) -> str:
    work.breakers.require_closed(PROVIDER)  # before it takes of the quota
    prediction_id = await _lost(work, name=name, prompt=prompt) or await _asked_for(work, name=name, prompt=prompt)
    replicate = work.vendors.replicate
    spend = Spend(provider=PROVIDER, model=replicate.model, cost_usd=replicate.cost_usd)
    replaces = [f"image.{effect}" for effect in EFFECTS[: EFFECTS.index(name.removeprefix("image."))]]
    await work.checkpoints.save(name, {"id": prediction_id, "prompt": prompt}, spend, replaces=replaces)
    return prediction_id


async def _lost(work: Work, *, name: str, prompt: str) -> str | None:
    """The prediction that an earlier attempt asked for, and did not live to hear of."""
    asked = work.checkpoints.get(f"{name}_asked") or {}
    if "seed" not in asked or asked.get("instead_of") != _known(work, name):
        return None
    async with work.breakers.guarding(PROVIDER, secondary=True):
        return await work.vendors.replicate.find(prompt, seed=asked["seed"])


async def _asked_for(work: Work, *, name: str, prompt: str) -> str:
    """A new prediction. What is needed to find it again is stored first: the worker may die before the answer comes."""
    seed = getrandbits(31)
    async with work.permit(PREDICTIONS), work.breakers.guarding(PROVIDER):
        await work.checkpoints.save(f"{name}_asked", {"seed": seed, "instead_of": _known(work, name)})
        try:
            return await work.vendors.replicate.create(prompt, aspect_ratio=ASPECT_RATIO, seed=seed)
        except (RateLimited, Misconfigured, Rejected, Unsent) as error:
            await work.checkpoints.save(f"{name}_asked", {})  # nothing was made, so there is nothing to look for
            if isinstance(error, RateLimited):
                await work.limiter.learn(PREDICTIONS, ProviderLimits(requests_limit=error.requests_per_minute))
            if isinstance(error, Rejected):
                log.warning("picture_refused", error=str(error), prompt=prompt)
            raise


def _known(work: Work, name: str) -> str | None:
    """The latest prediction that we have the id of."""
    return (work.checkpoints.get(name) or {}).get("id")
