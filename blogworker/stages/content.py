"""Stage 3: get the post from a model, repair it and check it.

A defect with one correct repair is repaired here (see `defects`). All other faults go back to the model once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from blogworker.post import render
from blogworker.post.defects import Repaired, repair_fields
from blogworker.post.judging import (
    ALT_LIMIT,
    SEO_DESCRIPTION_LIMIT,
    SEO_TITLE_LIMIT,
    Post,
    clean_tags,
    faults_of,
    linked,
    without_forbidden,
)
from blogworker.post.plain import cut, cut_clean, slug
from blogworker.post.prompts import POST, fenced
from blogworker.post.score import score_of
from blogworker.post.site import SiteSettings, usable
from blogworker.post.slugs import choices, stem
from blogworker.post.tags import reused
from blogworker.post.verdict import verdict_of
from blogworker.providers.answer import object_of
from blogworker.stages import library
from blogworker.stages.effects import Answer
from blogworker.stages.material import digest, material
from blogworker.stages.records import CONTENT, IDEAS, SOURCE, Checkpoint, ChosenIdea, Content, Output, Source
from blogworker.stages.work import LibraryEntry, Related, Work
from blogworker.stages.writing import InvalidOutput, Task, writer_of, written
from blogworker.telemetry.facts import note

TOKENS_PER_WORD, TOKENS_AROUND = 3, 1_000  # of a post as JSON; languages other than English need most of it
WRONG_SHAPE = "answer of the wrong shape"
ANY_SITE = SiteSettings()


async def run(work: Work) -> Content:
    brief = _brief(work)
    source, idea, site = brief.source, brief.idea, brief.site
    task = _task(work, brief)
    post, found, returned = await _written(work, task, brief)
    own = without_forbidden(titles_of(idea, source), site)
    wanted = {title: _slugs(brief, post["slug"], title=title) for title in (post["title"], *own) if title}
    named = await work.checkpoints.claim_names(wanted, source=digest(source), stem=stem(post["slug"]))
    tags = reused(post["tags"], named.tags)
    defects = list(dict.fromkeys([*found, *returned, *post["defects"]]))
    note(defects=defects or None)
    output = {**post, "title": named.title, "slug": named.slug, "tags": tags, "defects": defects}
    output["returned"] = list(dict.fromkeys(returned))
    output["repaired"] = [name for name in defects if name not in returned]
    verdict = verdict_of(output, source=source, idea=idea, site=site, links=library.links(brief.related))
    output["score"] = score_of(verdict.costs(output))
    content = Content.load({**output, "model": writer_of(work, task), "prompt_version": POST.version})
    terms = library.terms_of(library.about_post(source, idea, title=named.title))
    entry = LibraryEntry(named.title, str(idea.get("angle") or ""), site.language, tuple(terms))
    await work.checkpoints.store_at_end(content.columns(), entry=entry)
    return content


@dataclass(frozen=True, slots=True)
class _Brief:
    """What the post is written from."""

    source: Output
    idea: Output
    site: SiteSettings
    related: Sequence[Related]  # posts of the site that it may link to


def _brief(work: Work) -> _Brief:
    source, ideas = work.load(SOURCE) or Source(), work.load(IDEAS)
    site = usable(source.site or {})
    related = library.known(ideas.related) if ideas is not None else []
    allowed = [post for post in related if without_forbidden([post.title], site)]
    return _Brief(source.dump(), (ideas.chosen if ideas is not None else ChosenIdea()).dump(), site, allowed)


def _task(work: Work, brief: _Brief) -> Task:
    blocks = [("source", material(brief.source)), ("idea", brief.idea)]
    related = [("related", library.shown(brief.related))] if brief.related else []
    return Task(
        stage="content",
        prompt=POST,
        input="\n\n".join(fenced(tag, data) for tag, data in [*blocks, *related]),
        model=work.openai.content_model,
        tokens=max(work.openai.content_tokens, (brief.site.words or 0) * TOKENS_PER_WORD + TOKENS_AROUND),
    )


async def _written(work: Work, task: Task, brief: _Brief) -> tuple[Output, list[str], list[str]]:
    """Return the post, the names of the defects in answers that were not accepted, and those sent back to the model."""
    found: list[str] = []
    returned: list[str] = []

    def accept(text: str) -> Output:
        try:
            return read_post(text, source=brief.source, idea=brief.idea, site=brief.site, related=brief.related)
        except InvalidOutput as invalid:
            found.extend(invalid.defects)
            returned.extend(invalid.returned)
            raise

    post = await written(work, task, accept=accept)
    if not returned and work.load(Checkpoint(f"{CONTENT.name}.{task.repair}", Answer)) is not None:
        returned.append(WRONG_SHAPE)
    return post, found, returned


def _slugs(brief: _Brief, own: str, *, title: str) -> list[str]:
    """Return the slugs for a post with this title, the best first. `own`: the slug that the model wrote."""
    about = library.about_post(brief.source, brief.idea, title=title)
    words = without_forbidden([str(text) for text in about if text], brief.site)
    return choices(own, words, language=brief.site.language)


def titles_of(idea: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    """Return the title of the idea, repaired like the title of a post. Empty if the repair needs a model."""
    checked = repair_fields({"title": str(idea.get("title") or "")}, source=source, idea=idea)
    return [] if checked.faults else [str(checked.fields["title"])]


def read_post(
    text: str,
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    site: SiteSettings = ANY_SITE,
    related: Sequence[Related] = (),
) -> Output:
    """Return the post in an answer, repaired. Raises InvalidOutput with the faults that only the model can repair.
    `related`: posts of the site that the post may link to."""
    if (answer := object_of(text)) is None:
        raise InvalidOutput(["the answer is not a JSON object"], returned=[WRONG_SHAPE])
    links = library.links(related)
    checked = repair_fields(answer, source=source, idea=idea, links=links)
    try:
        post = Post.model_validate(checked.fields)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        returned = [WRONG_SHAPE, *checked.returned]
        raise InvalidOutput([*wrong, *checked.faults], defects=_names(checked), returned=returned) from None
    own_url = str(source.get("url") or "")
    body = linked(post.body_markdown, name=str(source.get("name") or ""), own_url=own_url)
    words = render.word_count(body)
    lacking = faults_of(post, body, words=words, own_url=own_url, site=site)
    if faults := [*checked.faults, *(fault.message for fault in lacking)]:
        returned = [*checked.returned, *(fault.name for fault in lacking)]
        raise InvalidOutput(faults, defects=_names(checked), returned=returned)
    body = library.with_list(body, related, own_url=own_url)
    tags = without_forbidden(post.tags, site)
    return {
        **post.model_dump(exclude={"body_markdown"}),
        "slug": slug(post.slug or post.title, language=site.language),
        "seo_title": post.seo_title or cut_clean(post.title, SEO_TITLE_LIMIT),
        "seo_description": post.seo_description or cut(post.excerpt, SEO_DESCRIPTION_LIMIT),
        "tags": tags or without_forbidden(clean_tags(list(idea.get("keywords") or [post.title])), site),
        "image_alt": post.image_alt or cut(post.title, ALT_LIMIT),
        "markdown": body,
        "html": render.html(body, own_url=own_url, links=links),
        "word_count": words,
        "own_url": own_url,
        "links": sorted(render.linked_in(body, own_url=own_url, links=links) & set(links)),
        "defects": _names(checked),
    }


def _names(checked: Repaired) -> list[str]:
    """Return the names of all defects that were found, each once."""
    return list(dict.fromkeys([*checked.repaired, *checked.returned]))
