"""Predictions: a fate drawn at birth, played out by the clock.

    starting -> processing -> succeeded | failed | canceled
    starting -> aborted            the deadline came before the start

A prediction stores when each step is due; its status is read off the clock, so nothing runs while it waits.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Any

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # the vendor's ids are lower-case base 32
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
NSFW = "NSFW content detected. Try running it again, or try a different prompt."
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB"


@dataclass(slots=True)
class Prediction:
    """One image job. Moments are real seconds on the simulator's clock."""

    id: str
    model: str
    input: dict[str, Any]
    created: float
    starts: float
    ends: float
    fate: str  # its status from `ends` on
    outputs: int
    extension: str
    one_url: bool  # the output is a string, not a list
    retention: float
    deadline: float = math.inf
    error: str | None = None
    early: bool = False  # shows its output while still processing
    empty: bool = False  # succeeds without output
    canceled_at: float = math.inf
    seed: int = 0

    def ended(self) -> float:
        """When it became, or will become, terminal."""
        return min(self.ends, self.canceled_at, self.deadline)

    def status(self, now: float) -> str:
        if now >= self.ended():
            if self.canceled_at <= min(self.ends, self.deadline):
                return "canceled"
            if self.deadline < self.ends:
                return "aborted" if self.deadline <= self.starts else "canceled"
            return self.fate
        return "processing" if now >= self.starts else "starting"

    def removed(self, now: float) -> bool:
        """Whether inputs, outputs and files have been deleted."""
        return now >= self.ended() + self.retention

    def cancel(self, now: float) -> None:
        if now < self.ended():
            self.canceled_at = now

    def has_files(self, now: float) -> bool:
        shown = self.status(now) == "succeeded" or (self.early and self.status(now) == "processing")
        return shown and not self.empty and not self.removed(now)


def new_id(random: Random) -> str:
    return "".join(random.choices(ALPHABET, k=26))


def body(prediction: Prediction, *, now: float, origin: str, iso: Any) -> dict[str, Any]:
    """The object the API shows. `iso` turns a moment into text."""
    status, removed = prediction.status(now), prediction.removed(now)
    terminal = status in TERMINAL
    began = now >= prediction.starts and prediction.ended() > prediction.starts
    api = f"{origin}/replicate/v1/predictions/{prediction.id}"
    found: dict[str, Any] = {
        "id": prediction.id,
        "model": prediction.model,
        "version": "hidden",
        "input": {} if removed else prediction.input,
        "output": _output(prediction, now, origin),
        "error": prediction.error if status == "failed" else None,
        "logs": "" if removed or not began else f"Using seed: {prediction.seed}\n",
        "status": status,
        "source": "api",
        "data_removed": removed,
        "created_at": iso(prediction.created),
        "urls": {
            "get": api,
            "cancel": f"{api}/cancel",
            "web": f"https://replicate.com/p/{prediction.id}",
            "stream": f"https://stream.replicate.com/v1/files/{prediction.id}",
        },
    }
    if began:
        found["started_at"] = iso(prediction.starts)
    if prediction.deadline < math.inf:
        found["deadline"] = iso(prediction.deadline)
    if terminal:
        found["completed_at"] = iso(prediction.ended())
        found["metrics"] = {"total_time": round(prediction.ended() - prediction.created, 6)}
        if began:
            found["metrics"]["predict_time"] = round(prediction.ended() - prediction.starts, 6)
    return found


def _output(prediction: Prediction, now: float, origin: str) -> Any:
    if not prediction.has_files(now):
        return None
    files = f"{origin}/replicate/files/{prediction.id}"
    urls = [f"{files}/out-{index}.{prediction.extension}" for index in range(prediction.outputs)]
    return urls[0] if prediction.one_url else urls
