"""Having a model write something, paying for each answer once.

    draft --fit--> done
      |  `-cut off--> draft again with a larger cap
      `-unfit--> repair --fit--> done
                    `-unfit--> Rejected

Every answer is stored with what it cost the moment it arrives, the useless ones too, so a later attempt goes on from
there: it judges the stored answer again rather than buying another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from blogworker.errors import Rejected
from blogworker.providers.openai import PROVIDER, Generation, Truncated
from blogworker.quota.headers import limits_in
from blogworker.stages.prompts import Prompt, repairing
from blogworker.stages.work import Output, Spend, Work

T = TypeVar("T")

LARGER_CAP = 2  # times the first, where that cut the answer off
FAULTS_SHOWN = 5


class Unfit(Exception):
    """The text cannot be published; `faults` say why, in words the model can act on."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to be written."""

    stage: str
    prompt: Prompt
    input: str
    model: str
    tokens: int  # reserved for the call, and the cap of its answer


async def written(work: Work, task: Task, *, fit: Callable[[str], T]) -> T:
    """What `fit` makes of the model's answer. `fit` raises Unfit; after one repair that is final."""
    draft = await _answer(work, task, name=f"{task.stage}.draft")
    try:
        return fit(draft)
    except Unfit as unfit:
        again = replace(task, input=repairing(task.input, answer=draft, faults=unfit.faults))
    repaired = await _answer(work, again, name=f"{task.stage}.repair")
    try:
        return fit(repaired)
    except Unfit as unfit:
        shown = "; ".join(unfit.faults[:FAULTS_SHOWN])
        raise Rejected(
            f"{task.model} wrote nothing fit for {task.stage}, even after a repair: {shown}",
            provider=PROVIDER,
            code="unfit_text",
        ) from unfit


async def _answer(work: Work, task: Task, *, name: str) -> str:
    """The text stored under `name`, bought if it is not there; once more with a larger cap if it was cut off."""
    if (bought := work.checkpoints.get(name)) is not None:
        return str(bought["text"])
    if work.checkpoints.get(f"{name}_truncated") is None:
        try:
            return await _buy(work, task, name=name)
        except Truncated:
            pass
    return await _buy(work, replace(task, tokens=task.tokens * LARGER_CAP), name=name)


async def _buy(work: Work, task: Task, *, name: str) -> str:
    bucket = f"{PROVIDER}/{task.model}"
    work.breakers.require(PROVIDER)  # before it takes of the quota
    async with work.limiter.permit(bucket, tokens=task.tokens) as permit, work.breakers.guarding(PROVIDER):
        generation = await work.vendors.openai.generate(
            model=task.model,
            instructions=task.prompt.instructions,
            input=task.input,
            schema_name=task.prompt.name,
            schema=task.prompt.schema,
            max_output_tokens=task.tokens,
            cache_key=task.prompt.version,
        )
        if generation.tokens:
            permit.used(generation.tokens)
        await work.limiter.learn(bucket, limits_in(generation.headers))
        await _store(work, task, name=name, generation=generation)
        return generation.checked()


async def _store(work: Work, task: Task, *, name: str, generation: Generation) -> None:
    """Under its own name if it is of use, else under one that tells what became of it."""
    output: Output = {"text": generation.text, "request_id": generation.request_id}
    match generation.fault:
        case None:
            kept = name
        case Truncated():
            kept = f"{name}_truncated"
        case _:
            kept = f"{name}_useless"
    if generation.fault is None or generation.tokens:
        await work.checkpoints.save(kept, output, _spend(task, generation))


def _spend(task: Task, generation: Generation) -> Spend:
    return Spend(
        provider=PROVIDER,
        model=task.model,
        prompt_version=task.prompt.version,
        tokens_in=generation.tokens_in,
        tokens_cached=generation.tokens_cached,
        tokens_out=generation.tokens_out,
        cost_usd=generation.cost_usd,
    )
