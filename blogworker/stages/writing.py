"""Get a text from a model, and pay for each answer once.

    draft --valid--> done
      |  |-truncated--> draft again with a larger token limit
      |  `-refused----> draft again, rephrased
      `-invalid--> repair --valid--> done
                     `-invalid--> Rejected

Each of these happens once. A second answer that is truncated, refused, invalid or without text is final. Every answer,
usable or not, is stored with its cost as soon as it arrives. A later attempt continues from there: it checks the stored
answer again, without a new call, and it knows the outcomes of earlier calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from blogworker.errors import OutcomeUnknown, RateLimited, Rejected, Unavailable
from blogworker.post.prompts import Prompt, repairing, rephrased
from blogworker.providers.openai_answers import (
    NO_TEXT,
    PROVIDER,
    Generation,
    ModelUnknown,
    Refused,
    Truncated,
)
from blogworker.queue.job import Stage
from blogworker.quota.headers import limits_in
from blogworker.spend.ledger import Spend
from blogworker.stages import effects
from blogworker.stages.catalog import LARGER_CAP, text_quota
from blogworker.stages.records import Checkpoint
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger

T = TypeVar("T")

USELESS_MOST = 2  # answers without text that one job pays for; if no job gets text, the circuit breaker opens
FAULTS_SHOWN = 5
UNANSWERED_MOST = 2  # unanswered calls until the next call gets a longer timeout
LONGER = 2  # times the usual timeout
LONGEST_CALL_S = 540.0  # less than the deadline of a stage

log = get_logger()


class InvalidOutput(Exception):
    """The text cannot be published. `faults` say why, in words that a model can act on. `defects` are the names of all
    defects found, `returned` the names of those that only the model can repair."""

    def __init__(self, faults: list[str], *, defects: Sequence[str] = (), returned: Sequence[str] = ()) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.defects = defects
        self.returned = returned


@dataclass(frozen=True, slots=True)
class Task:
    """One text to request."""

    stage: str
    prompt: Prompt
    input: str
    model: str
    tokens: int  # reserved for the call, and the limit of its answer
    draft: str = "draft"  # names of the checkpoints of its answers: `ideas.draft`, `ideas.repair`
    repair: str = "repair"
    replaces: tuple[str, ...] = ()  # checkpoints whose answers are wasted once this answer has arrived


async def written(work: Work, task: Task, *, accept: Callable[[str], T]) -> T:
    """Return what `accept` reads from the answer of the model.

    `accept` raises InvalidOutput for an invalid answer. After one repair this is final.
    """
    draft = await _answer(work, task, name=f"{task.stage}.{task.draft}")
    try:
        return _accepted(accept, draft)
    except InvalidOutput as invalid:
        again = replace(
            task,
            input=repairing(task.input, answer=draft, faults=invalid.faults),
            replaces=(f"{task.stage}.{task.draft}",),
        )
    repaired = await _answer(work, again, name=f"{task.stage}.{task.repair}")
    try:
        return _accepted(accept, repaired)
    except InvalidOutput as invalid:
        shown = "; ".join(invalid.faults[:FAULTS_SHOWN])
        raise Rejected(
            f"{task.model} wrote no valid answer for {task.stage}, even after a repair: {shown}",
            provider=PROVIDER,
            code="invalid_text",
        ) from invalid


def _accepted(accept: Callable[[str], T], answer: str) -> T:
    """Return what `accept` reads from an answer, which may have any value where the schema has a number or a list."""
    try:
        return accept(answer)
    except (ArithmeticError, RecursionError, TypeError) as error:
        raise InvalidOutput([f"a value in the answer does not match the schema: {error}"]) from error


def writer_of(work: Work, task: Task) -> str:
    """Return the model that wrote the accepted answer: the fallback model if the provider did not know the task's."""
    repair, draft = (work.load(_answer_of(f"{task.stage}.{name}")) for name in (task.repair, task.draft))
    last = repair or draft
    return (last.model if last is not None else None) or task.model


def _answer_of(name: str) -> Checkpoint[effects.Answer]:
    return Checkpoint(name, effects.Answer)


async def _answer(work: Work, task: Task, *, name: str) -> str:
    """Return the text stored under `name`. Request it if it is not stored."""
    if (stored := work.load(_answer_of(name))) is not None:
        return stored.text
    truncated = work.load(effects.truncated(name)) is not None
    refused = work.load(effects.refused(name)) is not None
    while True:
        call = replace(task, tokens=task.tokens * LARGER_CAP) if truncated else task
        call = replace(call, input=rephrased(task.input)) if refused else call
        try:
            return await _request(work, call, name=name)
        except Truncated:
            if truncated:
                raise
            truncated = True
        except Refused:
            if refused:
                raise
            refused = True
        except Unavailable as error:
            if error.code in NO_TEXT and _times(work, effects.useless(name)) >= USELESS_MOST:
                raise _without_text(task, error) from error
            raise
        except ModelUnknown:
            if (fallback := _fallback(work, task)) is None:
                raise
            log.warning("model_replaced", model=task.model, replacement=fallback)
            task = replace(task, model=fallback)


def _times(work: Work, checkpoint: Checkpoint[effects.UnusableAnswer]) -> int:
    answer = work.load(checkpoint)
    return answer.times if answer is not None else 0


def _without_text(task: Task, error: Unavailable) -> Rejected:
    return Rejected(
        f"{task.model} gave {USELESS_MOST} answers without text for {task.stage}: {error.args[0]}",
        provider=PROVIDER,
        code=error.code,
        request_id=error.request_id,
    )


def _fallback(work: Work, task: Task) -> str | None:
    model = work.openai.fallback_model
    return None if model == task.model else model


async def _request(work: Work, task: Task, *, name: str) -> str:
    bucket = text_quota(task.model)
    replaceable = (ModelUnknown,) if _fallback(work, task) else ()
    work.breakers.require_closed(PROVIDER)  # before the request takes quota
    async with (
        work.permit(bucket, tokens=task.tokens) as permit,
        work.breakers.guarding(PROVIDER, exempt=replaceable, secondary=task.stage == Stage.IDEAS),
    ):
        try:
            generation = await work.clients.openai.generate(
                model=task.model,
                instructions=task.prompt.instructions,
                input=task.input,
                schema_name=task.prompt.name,
                schema=task.prompt.schema,
                max_output_tokens=task.tokens,
                effort=work.openai.efforts.get(task.model, "low"),
                timeout_s=_timeout_s(work, name),
                cache_key=task.prompt.version,
            )
        except OutcomeUnknown:
            await _note_unanswered(work, task, name=name)
            raise
        except RateLimited as error:
            await work.limiter.learn(bucket, limits_in(error.headers))
            raise
        if generation.tokens:
            permit.used(generation.tokens)
        await _store(work, task, name=name, generation=generation)  # first, because it is paid for
        await work.limiter.learn(bucket, limits_in(generation.headers))
        return generation.checked()


def _timeout_s(work: Work, name: str) -> float:
    longer = LONGER if _times(work, effects.unanswered(name)) >= UNANSWERED_MOST else 1
    return min(work.openai.timeout * longer, max(LONGEST_CALL_S, work.openai.timeout))


async def _note_unanswered(work: Work, task: Task, *, name: str) -> None:
    """Record a call that the provider may bill. It counts as a request, and its tokens stay charged to the quota."""
    checkpoint = effects.unanswered(name)
    times = _times(work, checkpoint) + 1
    spend = Spend(PROVIDER, task.model, task.prompt.version, cost_usd=0.0, wasted=True)
    await work.save(checkpoint, effects.UnusableAnswer(times=times, tokens_at_most=times * task.tokens), spend)


async def _store(work: Work, task: Task, *, name: str, generation: Generation) -> None:
    """Store a usable answer under its own name, any other under a name that says what is wrong with it."""
    fields = {"request_id": generation.request_id, "model": task.model, "tier": generation.tier}
    spend = _spend(task, generation)
    if generation.fault is None:
        answer = effects.Answer(text=generation.text, **fields)
        replaces = [_answer_of(replaced) for replaced in task.replaces]
        await work.save(_answer_of(name), answer, spend, replaces=replaces)
        return
    unusable = effects.UnusableAnswer.load({"text": generation.text, **fields})
    textless = False
    match generation.fault:
        case Truncated():
            checkpoint = effects.truncated(name)
        case Refused():
            checkpoint = effects.refused(name)
        case fault:
            checkpoint = effects.useless(name)
            textless = fault.code in NO_TEXT
            unusable = effects.UnusableAnswer.load(unusable.dump() | {"times": _times(work, checkpoint) + textless})
    if generation.tokens or textless:
        await work.save(checkpoint, unusable, spend)


def _spend(task: Task, generation: Generation) -> Spend:
    return Spend(
        provider=PROVIDER,
        model=task.model,
        prompt_version=task.prompt.version,
        tokens_in=generation.tokens_in,
        tokens_cached=generation.tokens_cached,
        tokens_out=generation.tokens_out,
        cost_usd=generation.cost_usd,
        wasted=generation.fault is not None,
    )
