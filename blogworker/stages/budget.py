"""What an attempt may still cost, asked of the budgets before it pays."""

from blogworker.prices import dearest
from blogworker.queue.job import Stage
from blogworker.stages.work import Work


def still_to_pay(work: Work) -> float | None:
    """USD for one clean run of the paid stages without a checkpoint; None when there are none.

    As many tokens in, and as many out, as are reserved for a call, at the dearest: the most it costs unless it has to
    be repeated or repaired. A model without a price counts as nothing.
    """
    settings, replicate = work.openai, work.vendors.replicate
    costs = {
        Stage.IDEAS: settings.ideas_tokens * dearest(settings.prices.get(settings.ideas_model, ())),
        Stage.CONTENT: settings.content_tokens * dearest(settings.prices.get(settings.content_model, ())),
        Stage.IMAGE: replicate.cost_usd or 0.0,
    }
    left = [usd for stage, usd in costs.items() if work.checkpoints.get(stage) is None]
    return sum(left) if left else None
