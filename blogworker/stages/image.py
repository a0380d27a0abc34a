"""Stage 4: the cover picture, made, fetched and kept with the post.

A picture the model calls unsafe is asked for once more in softer words; after that the post goes out without one. The
bytes are fetched at once, since the vendor deletes them within the hour.

What becomes of a post whose picture cannot be had is a setting, and a site may have its own: it waits, goes out without
one (skip), or fails.
"""

from collections.abc import Mapping
from typing import Any, get_args

from blogworker.errors import Misconfigured, ProviderDown, ProviderError, RateLimited, Rejected, Unavailable
from blogworker.providers.replicate import PredictionDied, PredictionGone, picture_type
from blogworker.providers.replicate_wire import PROVIDER
from blogworker.quota import VendorLimits
from blogworker.settings import ImageTrouble
from blogworker.stages.content import columns
from blogworker.stages.work import Output, Spend, Work

BUCKET = "replicate/predictions"
ASPECT_RATIO = "16:9"
STYLE = "Natural light, sharp focus, editorial photograph, no text, no logos, no watermark."
SOFTENED = "A calm still life of everyday objects that suggests the topic “{title}”, with no people. "
TRIES = 2  # of a picture that fails, beside the first


async def run(work: Work) -> Output:
    try:
        return await _cover(work)
    except ProviderError as error:
        trouble = trouble_of(work)
        if trouble == "wait" or not _hopeless(work, error):
            raise
        if trouble == "skip":
            return _without(work, str(error))
        raise Rejected(
            f"no picture to be had: {error}. Retry the job later, or set image_trouble to wait or skip",
            provider=PROVIDER,
            code="no_picture",
        ) from error


def trouble_of(work: Work) -> str:
    """What becomes of this post without a picture: the site's own word, else the setting."""
    own = work.claim.site.get("image_trouble")
    return str(own) if own in get_args(ImageTrouble) else work.image_trouble


def _hopeless(work: Work, error: ProviderError) -> bool:
    """Whether there will be no picture soon."""
    if isinstance(error, Unavailable):
        return work.claim.failures >= TRIES
    return isinstance(error, ProviderDown | Misconfigured | Rejected)


def _without(work: Work, reason: str) -> Output:
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
    for effect, wording in (("prediction", prompt), ("softened", SOFTENED.format(title=content["title"]) + STYLE)):
        try:
            return await _illustrated(work, content, effect=effect, prompt=wording)
        except Rejected as error:
            if error.code != "nsfw":
                raise
            reason = str(error)
    return _without(work, reason)


async def _illustrated(work: Work, content: Mapping[str, Any], *, effect: str, prompt: str) -> Output:
    """One picture, stored with its post. Raises Rejected `nsfw` when the model would not show it."""
    prediction_id, url = await _made(work, name=f"image.{effect}", prompt=prompt)
    async with work.breakers.guarding(PROVIDER, own=(PredictionGone, Misconfigured)):  # one file refused says nothing
        data = await work.vendors.replicate.download(url)
    await work.checkpoints.store_post(
        {**columns(content), "image": data, "image_type": picture_type(data), "image_prompt": prompt}
    )
    return {
        "url": url,
        "prediction_id": prediction_id,
        "prompt": prompt,
        "alt": content["image_alt"],
        "type": picture_type(data),
        "bytes": len(data),
        "model": work.vendors.replicate.model,
    }


async def _made(work: Work, *, name: str, prompt: str) -> tuple[str, str]:
    """The prediction and the address of its picture. One that an earlier attempt paid for is taken up again."""
    if (earlier := work.checkpoints.get(name)) is not None:
        try:
            return earlier["id"], await _waited(work, earlier["id"])
        except (PredictionGone, PredictionDied):
            pass  # dead before we came back to it: only a new one can help
    prediction_id = await _start(work, name=name, prompt=prompt)
    return prediction_id, await _waited(work, prediction_id)


async def _waited(work: Work, prediction_id: str) -> str:
    async with work.breakers.guarding(PROVIDER, own=(PredictionGone, PredictionDied)):
        return await work.vendors.replicate.wait(prediction_id)


async def _start(work: Work, *, name: str, prompt: str) -> str:
    replicate = work.vendors.replicate
    work.breakers.require(PROVIDER)  # before it takes of the quota
    async with work.limiter.permit(BUCKET), work.breakers.guarding(PROVIDER):
        try:
            prediction_id = await replicate.create(prompt, aspect_ratio=ASPECT_RATIO)
        except RateLimited as error:
            await work.limiter.learn(BUCKET, VendorLimits(requests_limit=error.requests_per_minute))
            raise
    spend = Spend(provider=PROVIDER, model=replicate.model, cost_usd=replicate.cost_usd)
    await work.checkpoints.save(name, {"id": prediction_id, "prompt": prompt}, spend)
    return prediction_id
