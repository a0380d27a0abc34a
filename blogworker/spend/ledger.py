"""The ledger: what each paid call used and cost."""

from dataclasses import asdict, dataclass
from typing import Any

from blogworker.db.pool import Runner
from blogworker.db.storable import storable_message

TOKENS_MAX = 100_000_000  # of one call: a provider may report any number
USD_MAX = 100_000.0
TEXT_MAX = 200  # characters of a provider, a model and a prompt version


@dataclass(frozen=True, slots=True)
class Spend:
    """What one paid call used, stored beside its checkpoint."""

    provider: str | None  # None, like the model, where nothing was paid
    model: str | None
    prompt_version: str | None = None
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None  # None: the model has no price in the settings
    wasted: bool = False  # the answer cannot be used: truncated, refused, empty or lost


NO_SPEND = Spend(provider=None, model=None)


def columns(spend: Spend) -> dict[str, Any]:
    """Return the values of a call's row, within the limits of the columns."""
    values = asdict(spend)
    for name in ("tokens_in", "tokens_cached", "tokens_out"):
        values[name] = max(0, min(TOKENS_MAX, values[name]))
    for name in ("model", "prompt_version", "provider"):
        values[name] = None if values[name] is None else storable_message(values[name], TEXT_MAX)
    if spend.cost_usd is not None:
        values["cost_usd"] = max(0.0, min(USD_MAX, spend.cost_usd))
    return values


async def record_usage(database: Runner, instance_id: str, spend: Spend) -> None:
    """Add a call without a job to the ledger. Saving a checkpoint adds the calls of a job."""
    values = columns(spend)
    del values["prompt_version"], values["wasted"]
    await database.execute("spend/record_usage", instance_id=instance_id, **values)
