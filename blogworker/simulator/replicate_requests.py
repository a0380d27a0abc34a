"""Parses and validates requests to Replicate: models, inputs, and the headers Prefer and Cancel-After."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.simulator.edge import ApiError

RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
FORMATS = ("webp", "jpg", "png")
LEAST_DEADLINE_S = 5
LONGEST_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One model. `fastest_s` and `slowest_s` are provider seconds of work."""

    name: str
    fastest_s: float
    slowest_s: float
    version: str  # a hash that requests may use instead of the name
    most_outputs: int = 4

    @property
    def is_pro(self) -> bool:
        """Whether it is of the family with one output, a URL instead of a list, and custom sizes."""
        return self.most_outputs == 1


MODELS = {
    model.name: model
    for model in (
        ImageModel("black-forest-labs/flux-schnell", 1, 3, "c846a69991daf4c0e5d016514849d14e"),
        ImageModel("black-forest-labs/flux-dev", 4, 9, "6e4a938f85952bdabcc15aa329178c4d"),
        ImageModel("black-forest-labs/flux-1.1-pro", 4, 10, "80a09d66baa990429c2f5ae8a4306bf7", most_outputs=1),
    )
}
_VERSIONS = {model.version: model for model in MODELS.values()}


def problem(status: int, title: str, detail: str) -> ApiError:
    """An error in the format of problem details (RFC 9457)."""
    return ApiError(status, {"title": title, "detail": detail, "status": status})


def find_model(name: str) -> ImageModel:
    """Find a model by `owner/name`, `owner/name:version` or version. Raises ApiError."""
    owner_name, _, version = name.partition(":")
    found = MODELS.get(owner_name) or _VERSIONS.get(owner_name) or _VERSIONS.get(version)
    if found is None:
        raise problem(404, "Not Found", "The requested resource could not be found.")
    return found


def check_input(model: ImageModel, value: Any) -> dict[str, Any]:
    """Validate the input of a prediction. Raises ApiError, which lists every invalid field."""
    if not isinstance(value, dict):
        raise problem(422, "Input validation failed", "- input: Invalid type. Expected: object")
    faults = [f"- input.{name}: {text}" for name, text in _faults(model, value)]
    if faults:
        raise problem(422, "Input validation failed", "\n".join(faults) + "\n")
    return value


def _faults(model: ImageModel, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if not isinstance(value.get("prompt"), str):
        found.append(("prompt", "prompt is required" if "prompt" not in value else "Invalid type. Expected: string"))
    ratios = (*RATIOS, "custom") if model.is_pro else RATIOS
    found += _choice(value, "aspect_ratio", ratios)
    found += _choice(value, "output_format", FORMATS)
    found += _range(value, "output_quality", 0, 100)
    found += _range(value, "seed", -(2**63), 2**63)
    if model.is_pro:
        found += _range(value, "safety_tolerance", 1, 6)
        found += _custom_size(value)
    else:
        found += _range(value, "num_outputs", 1, model.most_outputs)
        found += _range(value, "num_inference_steps", 1, 4 if "schnell" in model.name else 50)
        found += _choice(value, "megapixels", ("1", "0.25"))
    return found


def _choice(value: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> list[tuple[str, str]]:
    if name in value and value[name] not in allowed:
        choices = ", ".join(f'"{choice}"' for choice in allowed)
        return [(name, f"{name} must be one of the following: {choices}")]
    return []


def _range(value: Mapping[str, Any], name: str, low: int, high: int) -> list[tuple[str, str]]:
    given = value.get(name)
    if given is None:
        return []
    if not isinstance(given, int) or isinstance(given, bool):
        return [(name, "Invalid type. Expected: integer")]
    if given < low:
        return [(name, f"Must be greater than or equal to {low}")]
    return [(name, f"Must be less than or equal to {high}")] if given > high else []


def _custom_size(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    if value.get("aspect_ratio") != "custom":
        return []
    found = _range(value, "width", 256, 1440) + _range(value, "height", 256, 1440)
    return found + [
        (name, "Must be a multiple of 32")
        for name in ("width", "height")
        if isinstance(value.get(name), int) and value[name] % 32
    ]


def parse_prefer(header: str | None) -> float:
    """Parse the Prefer header: for how many real seconds to wait for the result; 0 without it. Raises ApiError."""
    if header is None:
        return 0.0
    match = re.fullmatch(r"\s*wait(?:=(\d+))?\s*", header)
    if match is None:
        return 0.0
    seconds = int(match[1] or LONGEST_WAIT_S)
    if not 1 <= seconds <= LONGEST_WAIT_S:
        raise problem(422, "Invalid header", f"Prefer: wait must be between 1 and {LONGEST_WAIT_S} seconds")
    return float(seconds)


def parse_cancel_after(header: str | None) -> float | None:
    """Parse the Cancel-After header: real seconds until the deadline; None without it. Raises ApiError."""
    if header is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", header.strip())
    if match is None or not any(match.groups()):
        raise problem(422, "Invalid header", "Cancel-After must be a duration such as 90s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total < LEAST_DEADLINE_S:
        raise problem(422, "Invalid header", f"Cancel-After must be at least {LEAST_DEADLINE_S} seconds")
    return float(total)
