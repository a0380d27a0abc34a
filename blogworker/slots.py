"""Which stages a worker runs, and how many jobs it runs at once at each: BLOGWORKER_STAGES and BLOGWORKER_SLOTS."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from blogworker.section import Section

ALL_STAGES = ("source", "ideas", "content", "image", "publish")  # in the order of a job
MOST = 1_000


@dataclass(frozen=True, slots=True)
class SlotGroup:
    """Stages that share slots. `size`: jobs at once."""

    stages: tuple[str, ...]
    size: int


def slot_groups(concurrency: int, stages: Sequence[str], slots: Mapping[str, int]) -> tuple[SlotGroup, ...]:
    """Return the groups of a worker's stages, in the order of a job. Without `slots` there is one.

    A stage without slots of its own uses those of the next stage that has some; stages after the last such stage use
    its slots.
    """
    if not slots:
        return (SlotGroup(tuple(stages), concurrency),)
    named = [stage for stage in ALL_STAGES if stage in slots]
    owners = {
        stage: next((name for name in named if ALL_STAGES.index(name) >= ALL_STAGES.index(stage)), named[-1])
        for stage in stages
    }
    return tuple(
        SlotGroup(tuple(stage for stage in stages if owners[stage] == name), slots[name])
        for name in named
        if name in owners.values()
    )


def _stages(value: object) -> object:
    """Read `ideas,content`. Raises ValueError for a stage that does not exist."""
    if not isinstance(value, str):
        return value
    given = [name.strip().lower() for name in value.split(",") if name.strip()]
    _require_known(given)
    if not given:
        raise ValueError(f"name at least one stage of: {', '.join(ALL_STAGES)}")
    return tuple(stage for stage in ALL_STAGES if stage in given)


def _slots(value: object) -> object:
    """Read `content=40,image=80`. Raises ValueError for anything else."""
    if not isinstance(value, str):
        return value
    slots: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, _, number = (side.strip() for side in part.partition("="))
        _require_known([name.lower()])
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:5]) <= MOST and len(number) <= 4):
            raise ValueError(f"write a number from 1 to {MOST:,} for each stage, as in content=40,image=80,publish=20")
        if name.lower() in slots:
            raise ValueError(f"it names {name.lower()} twice")
        slots[name.lower()] = int(number)
    return slots


def _require_known(names: Sequence[str]) -> None:
    for name in names:
        if name not in ALL_STAGES:
            raise ValueError(f"{name[:40]!r} is not a stage: the stages are {', '.join(ALL_STAGES)}")


class SlotSettings(Section):
    """The part of a worker's settings that says what it runs at once."""

    concurrency: int = Field(50, ge=1, le=MOST, description="concurrent jobs: slots")
    stages: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_stages)] = Field(
        ALL_STAGES, description="the stages to run, such as ideas,content"
    )
    slots: Annotated[dict[str, int], NoDecode, BeforeValidator(_slots)] = Field(
        {}, description="slots by stage, instead of one number for all: content=40,image=80,publish=20"
    )

    @property
    def slot_groups(self) -> tuple[SlotGroup, ...]:
        return slot_groups(self.concurrency, self.stages, self.slots)

    @model_validator(mode="before")
    @classmethod
    def _count_slots(cls, values: Any) -> Any:
        slots = None
        with suppress(ValueError):  # the field itself reports it, with its name
            slots = _slots(values.get("slots")) if isinstance(values, dict) else None
        return {**values, "concurrency": sum(slots.values())} if slots and isinstance(slots, dict) else values

    @model_validator(mode="after")
    def _slots_are_of_own_stages(self) -> Self:
        if foreign := [stage for stage in self.slots if stage not in self.stages]:
            raise ValueError(f"BLOGWORKER_SLOTS names {foreign[0]}, but BLOGWORKER_STAGES does not: change one of them")
        return self
