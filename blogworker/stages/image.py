"""Stage 4: create the cover picture, download it and store it with the post.

If the model refuses a picture as unsafe, or its output has no picture, one more is requested with a softer prompt. The
file is downloaded at once, because the provider deletes it within an hour. A file that is not a complete JPEG of the
requested shape is not usable: the next attempt downloads it again, then requests another picture. No job pays for a
third picture: the post is published without one, or the job fails if `image_trouble` is `fail`.

If the response to a creation was lost, because the connection or the worker died, the prediction may exist and cost
money. The next attempt searches for it before it creates another.

`image_trouble`, of the site or of the fleet, decides what happens to a post without a picture: `wait`, `skip` (publish
it without a picture) or `fail`.
"""

from datetime import timedelta
from hashlib import sha256
from random import getrandbits
from typing import get_args

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
from blogworker.queue.job import Claim
from blogworker.quota import ProviderLimits
from blogworker.settings import ImageTrouble
from blogworker.spend.ledger import Spend
from blogworker.stages import effects
from blogworker.stages.catalog import PREDICTIONS
from blogworker.stages.effects import PREDICTION, SOFTENED, USELESS_PREDICTIONS
from blogworker.stages.records import CONTENT, Checkpoint, Content, Cover
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

ASPECT_RATIO, RATIO = "16:9", 16 / 9
RATIO_TOLERANCE = 0.1  # models round the size: 1344 x 768 is 1.6 % off
LEAST_WIDTH = 512  # pixels; the narrowest picture that models draw on purpose has 672
STYLE = "Natural light, sharp focus, editorial photograph, no text, no logos, no watermark."
SOFTER = "A calm still life of everyday objects that suggests the topic “{title}”, with no people. "
RETRIES = 2  # failed attempts after which no picture is expected soon
ATTEMPTS_LOST = 20  # most attempts at one job that the database loses with its history
CLOCKS_APART = timedelta(minutes=5)  # the clock of the database may be ahead of the provider's by this much
USELESS_MOST = 2  # predictions that were paid for and gave no usable picture
SOFTENED_FOR = (NSFW, NO_OUTPUT)
PREDICTIONS_IN_ORDER = (PREDICTION, SOFTENED)  # the second replaces the first
REQUEST_OF = {PREDICTION.name: effects.PREDICTION_ASKED, SOFTENED.name: effects.SOFTENED_ASKED}

Name = Checkpoint[effects.Prediction]

log = get_logger()


class NoPicture(Rejected):
    """No usable picture, and no further one may be paid for."""


async def run(work: Work) -> Cover:
    try:
        return await _with_trouble(work)
    finally:
        await work.breakers.release_probe(PROVIDER)  # the attempt calls it no more


async def _with_trouble(work: Work) -> Cover:
    try:
        return await _cover(work)
    except NoPicture as error:
        if trouble_of(work) != "fail":
            return await _without(work, str(error))
        await work.save(USELESS_PREDICTIONS, effects.UselessPredictions())  # so that a retried job may pay for new ones
        raise _failed(error) from error
    except ProviderError as error:
        trouble = trouble_of(work)
        if trouble == "wait" or not _is_lasting(work, error):
            raise
        if trouble == "skip":
            return await _without(work, str(error))
        raise _failed(error) from error


def _failed(error: ProviderError) -> Rejected:
    message = f"no picture could be made: {error}. Retry the job later, or set image_trouble to wait or skip"
    return Rejected(message, provider=PROVIDER, code="no_picture")


def trouble_of(work: Work) -> str:
    """Return what happens to this post without a picture: the setting of the site, else that of the fleet."""
    own = work.claim.site.get("image_trouble")
    return str(own) if own in get_args(ImageTrouble) else work.image_trouble


def _is_lasting(work: Work, error: ProviderError) -> bool:
    """Whether no picture is to be expected soon."""
    if isinstance(error, Unavailable):
        return work.claim.failures >= RETRIES
    return isinstance(error, ProviderDown | Misconfigured | Rejected)


async def _without(work: Work, reason: str) -> Cover:
    record = effects.WithoutCover(reason=reason)
    await work.save(effects.WITHOUT_COVER, record, replaces=PREDICTIONS_IN_ORDER)
    content = work.require(CONTENT)
    return Cover(url=None, reason=f"no picture: {reason}", prompt=_prompt(content), alt=content.image_alt)


def _prompt(content: Content) -> str:
    return f"{content.image_prompt} {STYLE}"


async def _cover(work: Work) -> Cover:
    content = work.require(CONTENT)
    try:
        return await _illustrated(work, content, PREDICTION, prompt=_prompt(content))
    except Rejected as error:
        if isinstance(error, NoPicture) or error.code not in SOFTENED_FOR:
            raise
    softer = SOFTER.format(title=content.title) + STYLE
    try:
        return await _illustrated(work, content, SOFTENED, prompt=softer)
    except Rejected as error:
        if isinstance(error, NoPicture) or error.code not in SOFTENED_FOR:
            raise
        raise _no_picture(error) from error


async def _illustrated(work: Work, content: Content, name: Name, *, prompt: str) -> Cover:
    """Return one picture, stored with its post. Raises Rejected if the model withholds it, and NoPicture if no further
    picture may be paid for."""
    if (earlier := _prediction_id(work, name)) is not None:
        try:
            return await _counted(work, content, earlier, prompt=prompt)
        except (PredictionGone, PredictionFailed):
            pass  # it ended without a picture in an earlier attempt, so only a new one can help
    return await _counted(work, content, await _started(work, name, prompt=prompt), prompt=prompt)


async def _counted(work: Work, content: Content, prediction_id: str, *, prompt: str) -> Cover:
    """Return the picture of a prediction. Record the prediction if it was paid for and gave no usable picture."""
    try:
        return await _stored(work, content, prediction_id, prompt=prompt)
    except (PredictionGone, UnusablePicture, Rejected) as error:
        if isinstance(error, Rejected) and error.code != NO_OUTPUT:
            raise
        useless = (work.load(USELESS_PREDICTIONS) or effects.UselessPredictions()).ids
        if prediction_id not in useless:
            useless = [*useless, prediction_id]
            unused = [name for name in PREDICTIONS_IN_ORDER if _prediction_id(work, name) in useless]
            record = effects.UselessPredictions(ids=useless, reason=str(error))
            await work.save(USELESS_PREDICTIONS, record, replaces=unused)
        if len(useless) >= USELESS_MOST:
            raise _no_picture(error) from error
        raise


def _no_picture(error: ProviderError) -> NoPicture:
    return NoPicture(error.args[0], provider=PROVIDER, status=error.status, code=error.code)


async def _stored(work: Work, content: Content, prediction_id: str, *, prompt: str) -> Cover:
    """Wait for the picture of a prediction, check it, and store it with its post."""
    replicate = work.clients.replicate
    # One prediction that died, or one refused file, does not mean that the provider fails.
    async with work.breakers.guarding(PROVIDER, exempt=(PredictionGone, PredictionFailed), secondary=True):
        url = await replicate.wait(prediction_id)
    async with work.breakers.guarding(PROVIDER, exempt=(PredictionGone, PredictionFailed), secondary=True):
        data = await replicate.download(url)
    width, height = _shape(data)
    picture = {"image": data, "image_type": picture_type(data), "image_prompt": prompt}
    await work.checkpoints.store_at_end(picture, content.columns())
    return Cover(
        url=address(url),  # None: the picture came in a data: URL, and its bytes are uploaded to Wix
        prediction_id=prediction_id,
        prompt=prompt,
        alt=content.image_alt,
        type=picture_type(data),
        bytes=len(data),
        width=width,
        height=height,
        model=replicate.model,
    )


def _shape(data: bytes) -> tuple[int, int]:
    """Return width and height. Raises UnusablePicture for a file that cannot be a cover."""
    size = jpeg_size(data)
    if size is None:
        raise UnusablePicture("the file is not a JPEG", provider=PROVIDER, code="not_a_jpeg")
    width, height = size
    if width < LEAST_WIDTH or not 1 - RATIO_TOLERANCE <= width / max(height, 1) / RATIO <= 1 + RATIO_TOLERANCE:
        message = f"the picture is {width} x {height}, not {ASPECT_RATIO} and at least {LEAST_WIDTH} wide"
        raise UnusablePicture(message, provider=PROVIDER, code="wrong_shape")
    return size


async def _started(work: Work, name: Name, *, prompt: str) -> str:
    work.breakers.require_closed(PROVIDER)  # before the request takes quota
    prediction_id = await _lost(work, name, prompt=prompt) or await _created(work, name, prompt=prompt)
    replicate = work.clients.replicate
    spend = Spend(provider=PROVIDER, model=replicate.model, cost_usd=replicate.cost_usd)
    replaces = PREDICTIONS_IN_ORDER[: PREDICTIONS_IN_ORDER.index(name)]
    await work.save(name, effects.Prediction(id=prediction_id, prompt=prompt), spend, replaces=replaces)
    return prediction_id


async def _lost(work: Work, name: Name, *, prompt: str) -> str | None:
    """Find the prediction of an earlier attempt that did not receive the creation response."""
    request = work.load(REQUEST_OF[name.name])
    if request is None:
        return await _lost_with_history(work, name, prompt=prompt)
    if request.seed is None or request.instead_of != _prediction_id(work, name):
        return None
    async with work.breakers.guarding(PROVIDER, secondary=True):
        return await work.clients.replicate.find(prompt, seeds=[request.seed])


async def _lost_with_history(work: Work, name: Name, *, prompt: str) -> str | None:
    """Find the prediction of an attempt that the database has lost. Its number is near that of this attempt."""
    origin = await work.checkpoints.origin()
    if (restore := origin.restore) is None or not origin.text_survived:
        return None
    attempts = range(max(1, work.claim.attempt - ATTEMPTS_LOST), work.claim.attempt + ATTEMPTS_LOST)
    seeds = [_seed(work.claim, name, attempt=attempt) for attempt in attempts]
    async with work.breakers.guarding(PROVIDER, secondary=True):
        return await work.clients.replicate.find(prompt, seeds=seeds, since=restore.since - CLOCKS_APART)


def _seed(claim: Claim, name: Name, *, attempt: int) -> int:
    """Return the seed of the first prediction of an attempt. It is known although all that was stored of it is lost."""
    known = f"{claim.instance_id} {claim.job_id} {claim.created_at.isoformat()} {name.name} {attempt}"
    return int.from_bytes(sha256(known.encode()).digest()[:4]) >> 1


async def _created(work: Work, name: Name, *, prompt: str) -> str:
    """Create a prediction. First store what is needed to find it: the worker may die before the response arrives."""
    earlier = work.load(REQUEST_OF[name.name])
    seed = _seed(work.claim, name, attempt=work.claim.attempt) if earlier is None else getrandbits(31)
    async with work.permit(PREDICTIONS), work.breakers.guarding(PROVIDER):
        request = effects.PredictionRequest(seed=seed, instead_of=_prediction_id(work, name))
        await work.save(REQUEST_OF[name.name], request)
        try:
            return await work.clients.replicate.create(prompt, aspect_ratio=ASPECT_RATIO, seed=seed)
        except (RateLimited, Misconfigured, Rejected, Unsent) as error:
            # No prediction was created, so there is nothing to look for.
            await work.save(REQUEST_OF[name.name], effects.PredictionRequest())
            if isinstance(error, RateLimited):
                await work.limiter.learn(PREDICTIONS, ProviderLimits(requests_limit=error.requests_per_minute))
            if isinstance(error, Rejected):
                log.warning("picture_refused", error=str(error), prompt=prompt)
            raise


def _prediction_id(work: Work, name: Name) -> str | None:
    """Return the id of the latest prediction."""
    prediction = work.load(name)
    return prediction.id if prediction is not None else None
