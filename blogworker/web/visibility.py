"""What a token for some sites may see of causes that all sites share.

The reasons in the database are for operators: they quote providers, amounts of budgets and notes of colleagues. A token
for some sites may belong to somebody outside, so it sees only the kind of the cause.
"""

from dataclasses import replace

from blogworker.ops.explain import Explanation
from blogworker.ops.tokens import Principal

# Reasons about the job or its site alone: the starts of those in sql/schema/waiting.sql.
OWN = ("backs off", "not due", "its site", "the quota of its site", "suspected")
SHARED = {
    "the circuit breaker": "a provider is unavailable",
    "stage ": "its stage is paused",
    "the quota": "the quota of a provider is used up",
    "no live worker": "no worker is running",
}
ANOTHER = "a budget is used up"
WAITS = "waits: "


def reason_for(principal: Principal, reason: str | None) -> str | None:
    """Return the reason of a wait as the caller may see it."""
    if reason is None or principal.instance_ids is None or reason.startswith(OWN):
        return reason
    return next((text for start, text in SHARED.items() if reason.startswith(start)), ANOTHER)


def explanation_for(principal: Principal, explanation: Explanation) -> Explanation:
    """Return the explanation of a job as the caller may see it."""
    if principal.instance_ids is None or not explanation.summary.startswith(WAITS):
        return explanation
    reason = explanation.summary.removeprefix(WAITS)
    known = reason if reason == "in line" else reason_for(principal, reason)
    also = tuple(reason_for(principal, each) or "" for each in explanation.also)
    return replace(explanation, summary=f"{WAITS}{known}", also=also)
