"""The checkpoints of one attempt in the database. Each write is fenced by the claim."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from psycopg.types.json import Json

from blogworker.db.pool import Row, Runner
from blogworker.db.storable import storable
from blogworker.errors import LeaseLost, Rejected
from blogworker.queue.job import Claim, Stage
from blogworker.queue.restores import Origin, RestoreWatch
from blogworker.spend.budget import Refusal
from blogworker.spend.ledger import NO_SPEND, Spend, columns
from blogworker.stages.checkpoint_schema import invalid_checkpoints
from blogworker.stages.effects import REVIEW, ReviewDraw
from blogworker.stages.library import DEPTH, FOUND, LEAST_SHARE
from blogworker.stages.post_row import AtEnd, entries_parameter, entry_parameter, post_parameters
from blogworker.stages.records import Output
from blogworker.stages.work import ClaimedNames, ClaimedTitle, LibraryEntry, Related
from blogworker.telemetry import get_logger
from blogworker.telemetry.facts import note

ORDER = tuple(Stage)
CHECKPOINT, EFFECT, END = "stages/save_checkpoint", "stages/save_effect", "stages/finish_stage"
FORGOTTEN = ".forgotten"  # may contain calls that the ledger does not count as waste yet
TITLED = (Stage.IDEAS, Stage.CONTENT)  # in order: the post may have another title than its idea
POSTS_READ = 200  # for the tags in use
OUTPUT_MAX = 2_000_000  # bytes as JSON

log = get_logger()


class StoredCheckpoints:
    """Implements `work.Checkpoints`. `saved`: what earlier attempts have stored, of this or another version."""

    def __init__(
        self,
        database: Runner,
        worker_id: UUID,
        claim: Claim,
        saved: Mapping[str, Output],
        restores: RestoreWatch | None = None,
    ) -> None:
        self._database = database
        self._restores = restores or RestoreWatch()
        self._fence = {"worker_id": worker_id, "job_id": claim.job_id, "attempt": claim.attempt}
        self._claim = claim
        missing, self._invalid = invalid_checkpoints(saved)
        self._saved = {name: output for name, output in saved.items() if name not in missing}
        self._owes = any(name.endswith(FORGOTTEN) for name in saved)
        self._since = monotonic()
        self._at_end = AtEnd()
        for name, fault in missing.items():
            log.warning("checkpoint_ignored", name=name, error=fault)
        for stage in TITLED:
            _note_post(stage, self._saved.get(stage, {}))

    def get(self, name: str) -> Output | None:
        """Raises Rejected for an invalid checkpoint whose stage must not run again."""
        if (fault := self._invalid.get(name)) is not None:
            raise Rejected(
                f"the checkpoint {name} of this job is not valid for this version ({fault}), and its post may be "
                "on the site already: correct it in generation_stages, then retry the job",
                provider="checkpoints",
                code="invalid_checkpoint",
            )
        return self._saved.get(name)

    async def save(
        self, name: str, output: Output, spend: Spend | None = None, *, replaces: Collection[str] = ()
    ) -> None:
        await self._save(name, output, spend, replaces)

    async def _save(
        self,
        name: str,
        output: Output,
        spend: Spend | None = None,
        replaces: Collection[str] = (),
        *,
        stamp: str | None = None,
    ) -> Row:
        now, output = monotonic(), storable(output)
        statement, parameters = self._statement(name, output, spend, replaces)
        if statement == EFFECT:
            parameters = {"stamp": stamp}
        if name in ORDER and statement != END:
            await self._store_before(self._at_end)
        facts = {"stage": name, "output": _json(name, output), "duration_s": now - self._since}
        row = self._held(await self._database.maybe(statement, **self._fence, **facts, **parameters))
        if not row.get("stored", True):
            if name in ORDER:
                await self._store_before(self._at_end)
            parameters = self._whole(name, spend, replaces)
            row = self._held(await self._database.maybe(CHECKPOINT, **self._fence, **facts, **parameters))
        if name in ORDER:
            self._at_end = AtEnd()
        self._since = now
        self._saved[name] = output
        _note_post(name, output)
        if spend is not None and spend.model is not None:
            paid = columns(spend)
            tokens = paid["tokens_in"] + paid["tokens_out"]
            note(model=paid["model"], tokens=tokens or None, cost_usd=paid["cost_usd"])
        return row

    def _statement(
        self, name: str, output: Output, spend: Spend | None, replaces: Collection[str]
    ) -> tuple[str, dict[str, Any]]:
        """Return the cheapest statement that stores this, and its own parameters."""
        if name not in ORDER and spend is None and not replaces:
            return EFFECT, {}
        simple = spend is None or (spend.model is not None and name not in ORDER and name not in self._saved)
        if replaces or self._owes or not simple:
            self._owes = False
            return CHECKPOINT, self._whole(name, spend, replaces)
        if spend is not None:
            return "stages/save_paid", columns(spend)
        score = output.get("score") if name == Stage.CONTENT else None
        score = score if isinstance(score, int) else None
        return END, self._end_of_stage(name) | {"score": score} | self._at_end.parameters()

    def _whole(self, name: str, spend: Spend | None, replaces: Collection[str]) -> dict[str, Any]:
        return self._end_of_stage(name) | columns(spend or NO_SPEND) | {"replaces": list(replaces)}

    def _end_of_stage(self, name: str) -> dict[str, Any]:
        made_of = Json(_made_of(self._claim)) if name == Stage.SOURCE else None
        return {"next_stage": self._after(name), "made_of": made_of}

    async def save_intent(self, name: str, output: Output, *, stamp: str | None = None) -> datetime:
        now: datetime | None = (await self._save(name, output, stamp=stamp))["now"]
        if now is None:
            raise LeaseLost(self._claim.job_id, self._claim.attempt)
        if stamp is not None:
            self._saved[name] = {**output, stamp: now.isoformat()}
        return now

    async def confirm(self) -> datetime:
        now: datetime = self._held(await self._database.maybe("stages/confirm", **self._fence))["now"]
        return now

    async def origin(self) -> Origin:
        if (origin := await self._restores.origin(self._database, self._claim.job_id)) is None:
            raise LeaseLost(self._claim.job_id, self._claim.attempt)
        return origin

    async def hold_budget(self, usd: float) -> Refusal | None:
        row = self._held(await self._database.maybe("spend/hold_budget", **self._fence, usd=usd, now=None))
        return None if row["affordable"] else Refusal(row["scope"], row["reason"], row["newly"])

    async def store_post(self, post: Output) -> None:
        self._held(await self._database.maybe("stages/store_post", **self._fence, **post_parameters(post)))

    async def store_at_end(
        self, changes: Output, whole: Output | None = None, *, entry: LibraryEntry | None = None
    ) -> None:
        self._at_end = AtEnd(changes, whole or {}, entry)

    async def _store_before(self, at_end: AtEnd) -> None:
        """Store it before the end of the stage, whose statement has no place for it, or found no row of the post."""
        if at_end.changes:
            await self.store_post({**at_end.whole, **at_end.changes})
        if at_end.entry is not None:
            entry = entry_parameter(at_end.entry)
            self._held(await self._database.maybe("stages/record_post", **self._fence, entry=entry))

    async def claim_title(self, wanted: Sequence[LibraryEntry], *, source: str, last_chance: bool) -> ClaimedTitle:
        row = self._held(
            await self._database.maybe(
                "stages/claim_title",
                **self._fence,
                instance_id=self._claim.instance_id,
                wanted=storable([entry.title for entry in wanted]),
                entries=entries_parameter(wanted),
                source=source,
                last_chance=last_chance,
            )
        )
        return ClaimedTitle(None if row["place"] is None else row["place"] - 1, tuple(row["taken"]))

    async def claim_names(self, names: Mapping[str, Sequence[str]], *, source: str, stem: str) -> ClaimedNames:
        titles = list(names)
        row = self._held(
            await self._database.maybe(
                "stages/claim_names",
                **self._fence,
                instance_id=self._claim.instance_id,
                titles=storable(titles),
                source=source,
                slugs=Json(storable([list(slugs) for slugs in names.values()])),
                stem=storable(stem),
                posts=POSTS_READ,
            )
        )
        return ClaimedNames(titles[(row["place"] or 1) - 1], row["slug"], row["tags"])

    async def draw_review(self, every: int) -> bool:
        if (drawn := self._saved.get(REVIEW.name)) is not None:
            return ReviewDraw.load(drawn).held
        row = self._held(await self._database.maybe("stages/draw_review", **self._fence, every=every))
        self._saved[REVIEW.name] = ReviewDraw(held=row["held"], every=every).dump()
        return bool(row["held"])

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list[Related]:
        return await related_posts(
            self._database, self._claim.instance_id, terms, language=language, job_id=self._claim.job_id
        )

    async def image_bytes(self) -> bytes | None:
        row = await self._database.maybe("stages/load_image", job_id=self._claim.job_id)
        return None if row is None else row["image"]

    def _after(self, name: str) -> str | None:
        """Return the next unfinished stage after a finished one; None after an effect and after the last stage."""
        later = ORDER[ORDER.index(Stage(name)) + 1 :] if name in ORDER else ()
        return next((stage for stage in later if stage not in self._saved), None)

    def _held(self, row: Row | None) -> Row:
        if row is None:
            raise LeaseLost(self._claim.job_id, self._claim.attempt)
        return row


async def related_posts(
    database: Runner, instance_id: str, terms: Mapping[str, int], *, language: str | None, job_id: int = 0
) -> list[Related]:
    """Return posts of a site that match these terms, without the post of this job."""
    rows = await database.rows(
        "stages/related_posts",
        instance_id=instance_id,
        job_id=job_id,
        terms=storable(list(terms)),
        counts=list(terms.values()),
        language=language,
        depth=DEPTH,
        least_share=LEAST_SHARE,
        posts=FOUND,
    )
    return [Related(row["title"], row["angle"], row["url"], row["share"]) for row in rows]


async def load(database: Runner, job_ids: list[int]) -> dict[int, dict[str, Output]]:
    """Load the checkpoints of several jobs in one statement: job_id -> name -> output."""
    found: dict[int, dict[str, Output]] = {job_id: {} for job_id in job_ids}
    for row in await database.rows("stages/load_checkpoints", job_ids=job_ids):
        found[row["job_id"]][row["stage"]] = row["output"]
    return found


def _note_post(name: str, output: Output) -> None:
    if name in TITLED and isinstance(title := output.get("title"), str):
        note(title=title)
    if name == Stage.CONTENT:
        note(score=output.get("score"))


def _made_of(claim: Claim) -> list[Any]:
    """Return the input of a source, to see later whether a person has changed it."""
    return [claim.source_type, claim.source_id, claim.source_data, claim.site]


def _json(name: str, output: Output) -> Json:
    """Raises Rejected for a result that is too large to be stored."""
    text = json.dumps(output)
    if len(text) > OUTPUT_MAX:
        raise Rejected(
            f"the result of {name} has {len(text):,} bytes: at most {OUTPUT_MAX:,} can be stored",
            provider="checkpoints",
            code="too_large",
        )
    return Json(output, dumps=lambda _: text)
