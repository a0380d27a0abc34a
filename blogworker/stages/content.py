"""Stage 3: the post itself, written, cleaned and judged.

What has one right repair is repaired here (see `defects`); what only a writer can mend is returned to the model once.
"""

import json
from collections.abc import Mapping, Sequence
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
    forbidden_in,
    linked,
)
from blogworker.post.plain import cut, cut_clean, slug
from blogworker.post.prompts import POST, fenced
from blogworker.post.score import score_of
from blogworker.post.site import SiteSettings, usable
from blogworker.post.slugs import choices, stem
from blogworker.post.tags import reused
from blogworker.post.verdict import verdict_of
from blogworker.stages import library
from blogworker.stages.ideas import digest
from blogworker.stages.source import material
from blogworker.stages.work import Output, Related, Work
from blogworker.stages.writing import InvalidOutput, Task, writer_of, written
from blogworker.telemetry.facts import note

TOKENS_A_WORD, TOKENS_AROUND = 3, 1_000  # of a post's JSON; languages other than English need most of it
WRONG_SHAPE = "answer of the wrong shape"
ANY_SITE = SiteSettings()


async def run(work: Work) -> Output:
    source, ideas = work.checkpoints.get("source") or {}, work.checkpoints.get("ideas") or {}
    idea, site = ideas.get("chosen") or {}, usable(source.get("site") or {})
    related = _usable_posts(library.known(ideas.get("related")), site)
    task = Task(
        stage="content",
        prompt=POST,
        input="\n\n".join(
            fenced(tag, data)
            for tag, data in (("source", material(source)), ("idea", idea), ("related", library.shown(related)))
            if data or tag != "related"
        ),
        model=work.openai.content_model,
        tokens=max(work.openai.content_tokens, (site.words or 0) * TOKENS_A_WORD + TOKENS_AROUND),
    )
    found: list[str] = []
    returned: list[str] = []

    def fit(text: str) -> Output:
        try:
            return read_post(text, source=source, idea=idea, site=site, related=related)
        except InvalidOutput as unfit:
            found.extend(unfit.defects)
            returned.extend(unfit.returned)
            raise

    post = await written(work, task, fit=fit)
    if not returned and work.checkpoints.get("content.repair") is not None:
        returned.append(WRONG_SHAPE)
    own = allowed(titles_of(idea, source), site)
    title = await _title(work, source, [post["title"], *own])
    tags = reused(post["tags"], await work.checkpoints.site_tags())
    about = [source.get("name"), source.get("keyword"), *(idea.get("keywords") or []), title]
    told = allowed([str(text) for text in about if text], site)
    free = await work.checkpoints.claim_slug(choices(post["slug"], told), stem=stem(post["slug"]))
    defects = list(dict.fromkeys([*found, *returned, *post["defects"]]))
    note(defects=defects or None)
    output = {**post, "title": title, "slug": free, "tags": tags, "defects": defects}
    output["returned"] = list(dict.fromkeys(returned))
    output["repaired"] = [name for name in defects if name not in returned]
    links = library.links(related)
    output["score"] = score_of(verdict_of(output, source=source, idea=idea, site=site, links=links).costs(output))
    await work.checkpoints.store_post(columns(output))
    await work.checkpoints.record_post(
        title=title,
        angle=str(idea.get("angle") or ""),
        language=site.language,
        terms=list(library.terms_of(library.about_post(source, idea, title=title))),
    )
    return {**output, "model": writer_of(work, task), "prompt_version": POST.version}


async def _title(work: Work, source: Output, wanted: list[str]) -> str:
    """The writer's title, or the idea's, which is reserved, where the site has one like the writer's."""
    wanted = [title for title in wanted if title]
    reserved = await work.checkpoints.claim_title(wanted, source=digest(source), last_chance=True)
    return wanted[reserved.place or 0]


def _usable_posts(related: Sequence[Related], site: SiteSettings) -> list[Related]:
    return [post for post in related if allowed([post.title], site)]


def titles_of(idea: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    """The idea's title, repaired as a post's; none if only a writer could mend it."""
    checked = repair_fields({"title": str(idea.get("title") or "")}, source=source, idea=idea)
    return [] if checked.faults else [str(checked.fields["title"])]


def allowed(texts: Sequence[str], site: SiteSettings) -> list[str]:
    """Those without a word that the site forbids. Ideas are not judged by it, only what is made of them."""
    return [text for text in texts if not forbidden_in(text, site.forbidden_words)]


def read_post(
    text: str,
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    site: SiteSettings = ANY_SITE,
    related: Sequence[Related] = (),
) -> Output:
    """The post in an answer, cleaned. Raises InvalidOutput with what only its writer can mend. `related`: posts of the
    site that it may link to."""
    try:
        answer = json.loads(text)
    except ValueError:
        raise InvalidOutput(["the answer is not a JSON object"], returned=[WRONG_SHAPE]) from None
    if not isinstance(answer, dict):
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
    body = library.closed(body, related, own_url=own_url)
    tags = allowed(post.tags, site)
    return {
        **post.model_dump(exclude={"body_markdown"}),
        "slug": slug(post.slug or post.title),
        "seo_title": post.seo_title or cut_clean(post.title, SEO_TITLE_LIMIT),
        "seo_description": post.seo_description or cut(post.excerpt, SEO_DESCRIPTION_LIMIT),
        "tags": tags or allowed(clean_tags(list(idea.get("keywords") or [post.title])), site),
        "image_alt": post.image_alt or cut(post.title, ALT_LIMIT),
        "markdown": body,
        "html": render.html(body, own_url=own_url, links=links),
        "word_count": words,
        "own_url": own_url,
        "links": sorted(render.linked_in(body, own_url=own_url, links=links) & set(links)),
        "defects": _names(checked),
    }


def _names(checked: Repaired) -> list[str]:
    """Of the defects that were found, each once."""
    return list(dict.fromkeys([*checked.repaired, *checked.returned]))


def columns(content: Mapping[str, Any]) -> Output:
    """The part of a post that its row in `blog_posts` holds."""
    names = "title slug excerpt markdown html tags seo_title seo_description word_count image_alt"
    scored = {"score": content["score"]} if "score" in content else {}  # a post of an older version has none
    return {name: content[name] for name in names.split()} | scored
