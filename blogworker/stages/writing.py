"""Having a model write something, paying for each answer once.

    draft --fit--> done
      |  |-cut off--> draft again with a larger cap
      |  `-refused--> draft again, rephrased
      `-unfit--> repair --fit--> done
                    `-unfit--> Rejected

Each of these happens once: a second answer that is cut off, refused, unfit or without text is final. Every answer is
stored with its cost as soon as it arrives, also one that is not usable, so a later attempt continues from there: it
judges the stored answer again instead of buying another, and knows the outcome of earlier calls.
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
from blogworker.stages.catalog import LARGER_CAP, text_quota
from blogworker.stages.work import Output, Work
from blogworker.telemetry import get_logger

T = TypeVar("T")

USELESS_MOST = 2  # answers without text that one blog pays for; if no blog gets text, the breaker opens
FAULTS_SHOWN = 5
PATIENCE = 2  # unanswered calls after which the next is given longer
LONGER = 2  # times the usual timeout
LONGEST_CALL_S = 540.0  # within the deadline of a stage

log = get_logger()


class InvalidOutput(Exception):
    """The text cannot be published; `faults` say why, in words the model can act on. `defects` name all that was found,
    `returned` those of them that only the writer can mend."""

    def __init__(self, faults: list[str], *, defects: Sequence[str] = (), returned: Sequence[str] = ()) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.defects = defects
        self.returned = returned


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to be written."""

    stage: str
    prompt: Prompt
    input: str
    model: str
    tokens: int  # reserved for the call, and the cap of its answer
    draft: str = "draft"  # the checkpoints of its answers: `ideas.draft`, `ideas.repair`
    repair: str = "repair"
    replaces: tuple[str, ...] = ()  # checkpoints that the answer takes the place of


async def written(work: Work, task: Task, *, fit: Callable[[str], T]) -> T:
    """What `fit` makes of the model's answer. `fit` raises InvalidOutput; after one repair that is final."""
    draft = await _answer(work, task, name=f"{task.stage}.{task.draft}")
    try:
        return _judged(fit, draft)
    except InvalidOutput as unfit:
        again = replace(
            task,
            input=repairing(task.input, answer=draft, faults=unfit.faults),
            replaces=(f"{task.stage}.{task.draft}",),
        )
    repaired = await _answer(work, again, name=f"{task.stage}.{task.repair}")
    try:
        return _judged(fit, repaired)
    except InvalidOutput as unfit:
        shown = "; ".join(unfit.faults[:FAULTS_SHOWN])
        raise Rejected(
            f"{task.model} wrote nothing fit for {task.stage}, even after a repair: {shown}",
            provider=PROVIDER,
            code="unfit_text",
        ) from unfit


def _judged(fit: Callable[[str], T], answer: str) -> T:
    """What `fit` makes of an answer, which may hold anything where the schema has a number or a list."""
    try:
        return fit(answer)
    except (ArithmeticError, RecursionError, TypeError) as error:
        raise InvalidOutput([f"a value in the answer is not what the schema names: {error}"]) from error


def writer_of(work: Work, task: Task) -> str:
    """The model that wrote what `written` gave: the fallback, where the vendor did not know the task's."""
    last = work.checkpoints.get(f"{task.stage}.{task.repair}") or work.checkpoints.get(f"{task.stage}.{task.draft}")
    return str((last or {}).get("model") or task.model)


async def _answer(work: Work, task: Task, *, name: str) -> str:
    """The text stored under `name`, bought if it is not there."""
    if (bought := work.checkpoints.get(name)) is not None:
        return str(bought["text"])
    cut_off = work.checkpoints.get(f"{name}_truncated") is not None
    refused = work.checkpoints.get(f"{name}_refused") is not None
    while True:
        asked = replace(task, tokens=task.tokens * LARGER_CAP) if cut_off else task
        asked = replace(asked, input=rephrased(task.input)) if refused else asked
        try:
            return await _buy(work, asked, name=name)
        except Truncated:
            if cut_off:
                raise
            cut_off = True
        except Refused:
            if refused:
                raise
            refused = True
        except Unavailable as error:
            if error.code in NO_TEXT and _useless(work, name) >= USELESS_MOST:
                raise _worthless(task, error) from error
            raise
        except ModelUnknown:
            if (fallback := _fallback(work, task)) is None:
                raise
            log.warning("model_replaced", model=task.model, replacement=fallback)
            task = replace(task, model=fallback)


def _useless(work: Work, name: str) -> int:
    """How many answers without text were paid for."""
    return int((work.checkpoints.get(f"{name}_useless") or {}).get("times", 0))


def _worthless(task: Task, error: Unavailable) -> Rejected:
    return Rejected(
        f"{task.model} gave {USELESS_MOST} answers without text for {task.stage}: {error.args[0]}",
        provider=PROVIDER,
        code=error.code,
        request_id=error.request_id,
    )


def _fallback(work: Work, task: Task) -> str | None:
    model = work.openai.fallback_model
    return None if model == task.model else model


async def _buy(work: Work, task: Task, *, name: str) -> str:
    bucket = text_quota(task.model)
    replaceable = (ModelUnknown,) if _fallback(work, task) else ()
    work.breakers.require_closed(PROVIDER)  # before it takes of the quota
    async with (
        work.permit(bucket, tokens=task.tokens) as permit,
        work.breakers.guarding(PROVIDER, exempt=replaceable, secondary=task.stage == Stage.IDEAS),
    ):
        try:
            generation = await work.vendors.openai.generate(
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
        await _store(work, task, name=name, generation=generation)  # first: it is paid for
        await work.limiter.learn(bucket, limits_in(generation.headers))
        return generation.checked()


def _unanswered(work: Work, name: str) -> int:
    return int((work.checkpoints.get(f"{name}_unanswered") or {}).get("times", 0))


def _timeout_s(work: Work, name: str) -> float:
    longer = LONGER if _unanswered(work, name) >= PATIENCE else 1
    return min(work.openai.timeout * longer, max(LONGEST_CALL_S, work.openai.timeout))


async def _note_unanswered(work: Work, task: Task, *, name: str) -> None:
    """It may have been made, and be billed: counted as a request, its tokens stay charged to the quota."""
    times = _unanswered(work, name) + 1
    spend = Spend(PROVIDER, task.model, task.prompt.version, cost_usd=0.0, wasted=True)
    await work.checkpoints.save(f"{name}_unanswered", {"times": times, "tokens_at_most": times * task.tokens}, spend)


async def _store(work: Work, task: Task, *, name: str, generation: Generation) -> None:
    """Under its own name if it is of use, else under one that tells what became of it."""
    output: Output = {
        "text": generation.text,
        "request_id": generation.request_id,
        "model": task.model,
        "tier": generation.tier,
    }
    textless = False
    match generation.fault:
        case None:
            kept = name
        case Truncated():
            kept = f"{name}_truncated"
        case Refused():
            kept = f"{name}_refused"
        case fault:
            kept = f"{name}_useless"
            textless = fault.code in NO_TEXT
            output["times"] = _useless(work, name) + textless
    if generation.fault is None or generation.tokens or textless:
        replaces = task.replaces if kept == name else ()
        await work.checkpoints.save(kept, output, _spend(task, generation), replaces=replaces)


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
