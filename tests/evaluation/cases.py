"""The sources, and the answers of a simulated model about them: good ones, spoilt ones, repaired ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from blogworker.intake.money import amount
from blogworker.post.prompts import IDEAS, POST, fenced
from blogworker.post.site import SiteSettings, usable
from blogworker.simulator.misbehaviours import misbehave
from blogworker.simulator.writer import Quality, write
from blogworker.stages.content import read_post
from blogworker.stages.ideas import merit, read_ideas
from blogworker.stages.material import material
from blogworker.stages.records import Output
from blogworker.stages.source import normalised

from .judge import Published, published

FILE = Path(__file__).parent / "sources.jsonl"
EUROPEAN = "european"  # the shop whose export has decimal commas


@dataclass(frozen=True)
class Case:
    """A source with the idea chosen for it."""

    number: int
    shop: str
    language: str
    kind: str
    id: str | None
    data: Mapping[str, Any]

    @cached_property
    def site(self) -> SiteSettings:
        return usable({"language": self.language})

    @cached_property
    def source(self) -> Output:
        data = dict(self.data)
        if self.shop == EUROPEAN:
            data["price"] = f"{amount(data['price'], ','):.2f}"  # as the reader of its file passes it on
        return {**normalised(self.kind, self.id, data), "site": self.site.facts()}

    @cached_property
    def idea(self) -> dict[str, Any]:
        answer = write(
            fenced("source", material(self.source)), IDEAS.schema, seed=1, repetition=1, quality=Quality.GOOD
        )
        ideas = read_ideas(json.dumps(answer))
        return max(ideas, key=lambda idea: merit(idea, self.source)).model_dump()

    @cached_property
    def prompt(self) -> str:
        return f"{fenced('source', material(self.source))}\n\n{fenced('idea', self.idea)}"

    @cached_property
    def answer(self) -> dict[str, Any]:
        """What a model that behaves writes."""
        return dict(_answered(self.prompt))

    @cached_property
    def good(self) -> Published:
        """The post that the good answer becomes."""
        text = json.dumps(self.answer)
        return published(read_post(text, source=self.source, idea=self.idea, site=self.site))

    def spoilt(self, kind: str) -> dict[str, Any] | None:
        """None where the misbehaviour makes no sense, such as a second link where there is no first."""
        spoilt = misbehave(self.answer, kind=kind, prompt=self.prompt, write=_answered)
        return None if spoilt == self.answer else spoilt

    def answered_again(self, kind: str, prompt: str, *, stubborn: bool) -> str:
        """The second answer, to a prompt that lists the faults of the first."""
        return json.dumps(misbehave(self.answer, kind=kind, prompt=prompt, write=_answered, stubborn=stubborn))


def _answered(prompt: str) -> Any:
    return write(prompt, POST.schema, seed=1, repetition=1, quality=Quality.GOOD)


def cases() -> list[Case]:
    rows = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
    return [
        Case(number, row.get("shop", ""), row["language"], row["kind"], row.get("id"), row["data"])
        for number, row in enumerate(rows)
    ]
