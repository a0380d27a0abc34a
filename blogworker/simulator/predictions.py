"""Predictions. Their outcome is decided when they are created; the clock does the rest.

    starting -> processing -> succeeded | failed | canceled
    starting -> aborted            the deadline was before the start

A prediction stores the time of each step. Its status is computed from the clock, so it needs no background task.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Any

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # the provider's ids are lower-case base 32
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
NSFW = "NSFW content detected. Try running it again, or try a different prompt."
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB"


@dataclass(slots=True)
class Prediction:
    """One prediction. Times are real seconds on the simulator's clock."""

    id: str
    model: str
    input: dict[str, Any]
    created: float
    starts: float
    ends: float
    final_status: str  # from `ends` on
    outputs: int
    extension: str
    single_url: bool  # the output is a string, not a list
    retention_s: float
    deadline: float = math.inf
    error: str | None = None
    early_output: bool = False  # shows its output while still processing
    no_output: bool = False  # succeeds without output
    canceled_at: float = math.inf
    seed: int = 0

    def ended_at(self) -> float:
        """The time from which its status is terminal. It can be in the future."""
        return min(self.ends, self.canceled_at, self.deadline)

    def status(self, now: float) -> str:
        if now >= self.ended_at():
            if self.canceled_at <= min(self.ends, self.deadline):
                return "canceled"
            if self.deadline < self.ends:
                return "aborted" if self.deadline <= self.starts else "canceled"
            return self.final_status
        return "processing" if now >= self.starts else "starting"

    def data_removed(self, now: float) -> bool:
        """Whether input, output and files were deleted."""
        return now >= self.ended_at() + self.retention_s

    def cancel(self, now: float) -> None:
        if now < self.ended_at():
            self.canceled_at = now

    def has_files(self, now: float) -> bool:
        shown = self.status(now) == "succeeded" or (self.early_output and self.status(now) == "processing")
        return shown and not self.no_output and not self.data_removed(now)


def new_id(random: Random) -> str:
    return "".join(random.choices(ALPHABET, k=26))


def prediction_json(prediction: Prediction, *, now: float, origin: str, iso: Any) -> dict[str, Any]:
    """The prediction as the API returns it. `iso` formats a time."""
    status, data_removed = prediction.status(now), prediction.data_removed(now)
    is_terminal = status in TERMINAL
    started = now >= prediction.starts and prediction.ended_at() > prediction.starts
    api = f"{origin}/replicate/v1/predictions/{prediction.id}"
    found: dict[str, Any] = {
        "id": prediction.id,
        "model": prediction.model,
        "version": "hidden",
        "input": {} if data_removed else prediction.input,
        "output": _output(prediction, now, origin),
        "error": prediction.error if status == "failed" else None,
        "logs": "" if data_removed or not started else f"Using seed: {prediction.seed}\n",
        "status": status,
        "source": "api",
        "data_removed": data_removed,
        "created_at": iso(prediction.created),
        "urls": {
            "get": api,
            "cancel": f"{api}/cancel",
            "web": f"https://replicate.com/p/{prediction.id}",
            "stream": f"https://stream.replicate.com/v1/files/{prediction.id}",
        },
    }
    if started:
        found["started_at"] = iso(prediction.starts)
    if prediction.deadline < math.inf:
        found["deadline"] = iso(prediction.deadline)
    if is_terminal:
        found["completed_at"] = iso(prediction.ended_at())
        found["metrics"] = {"total_time": round(prediction.ended_at() - prediction.created, 6)}
        if started:
            found["metrics"]["predict_time"] = round(prediction.ended_at() - prediction.starts, 6)
    return found


def _output(prediction: Prediction, now: float, origin: str) -> Any:
    if not prediction.has_files(now):
        return None
    files = f"{origin}/replicate/files/{prediction.id}"
    urls = [f"{files}/out-{index}.{prediction.extension}" for index in range(prediction.outputs)]
    return urls[0] if prediction.single_url else urls
