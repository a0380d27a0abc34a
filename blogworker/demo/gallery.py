"""The gallery of a demo: a folder with a page for each finished post, and an index with a search.

The pages need no network and no server. HTML and CSS are in `templates/`. Links lead only to pages of the folder: the
URL of a post is shown without a link, because the simulated site ends with the demo.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from itertools import chain
from pathlib import Path
from re import sub
from string import Template
from urllib.parse import SplitResult, quote, urlsplit

from blogworker.demo.formatting import dollars, initial, reading_time
from blogworker.demo.summary import GallerySummary, definition_rows, facts, figures, headline
from blogworker.plurals import counted

__all__ = ["GalleryPost", "GallerySummary", "write_gallery"]

SITES_AS_CHIPS = 16  # the largest sites; the search finds the others
EAGER_IMAGES = 4  # those on the first screen; the others are loaded when they become visible
SLUG_LENGTH = 48  # characters; also in UTF-8 short enough for a file name
GOLDEN_ANGLE = 137.508  # degrees between the hues of consecutive sites, so that no hue repeats
GOLDEN_RATIO = 0.618034  # its fractional part
SOURCES = {"keyword": "Keyword", "product": "Product", "text": "Text"}


@dataclass(frozen=True, slots=True)
class GalleryPost:
    """One finished post, with the time and cost of its generation."""

    job_id: int
    instance_id: str
    site_name: str
    title: str
    slug: str
    excerpt: str
    seo_title: str
    seo_description: str
    tags: tuple[str, ...]
    html: str  # the body as its site shows it; safe, because our renderer wrote it
    image: Path | None  # a file in the gallery's folder images/
    image_alt: str
    source_type: str
    source_label: str
    published_url: str | None
    wix_post_id: str | None
    seconds: float | None
    cost_usd: float | None
    words: int

    @property
    def page(self) -> str:
        slug = sub(r"[^\w-]+", "-", self.slug)[:SLUG_LENGTH].strip("-") or "post"
        return f"{self.job_id}-{slug}.html"


@dataclass(frozen=True, slots=True)
class Site:
    key: str
    name: str
    hue: float
    posts: int


def write_gallery(out: Path, posts: Sequence[GalleryPost], summary: GallerySummary) -> Path:
    """Write the index, a page for each post and the style sheet to `out`. Returns the path of the index."""
    shown = mix_sites(posts)
    sites = sites_of(posts)
    (out / "posts").mkdir(parents=True, exist_ok=True)
    for name in ("style.css", "icon.svg"):
        (out / name).write_text(read_template(name), encoding="utf-8")
    for index, post in enumerate(shown):
        (out / "posts" / post.page).write_text(post_page(index, shown, sites[post.instance_id]), encoding="utf-8")
    index_file = out / "index.html"
    index_file.write_text(index_page(shown, sites, summary), encoding="utf-8")
    return index_file


def mix_sites(posts: Iterable[GalleryPost]) -> list[GalleryPost]:
    """Order posts: newest first within a site, and sites mixed evenly, so that no large shop fills the first screen."""
    by_site: defaultdict[str, list[GalleryPost]] = defaultdict(list)
    for post in sorted(posts, key=lambda post: -post.job_id):
        by_site[post.instance_id].append(post)
    ranked = [
        ((number + site_number * GOLDEN_RATIO % 1) / len(posts_of_site), -post.job_id, post)
        for site_number, posts_of_site in enumerate(by_site.values())
        for number, post in enumerate(posts_of_site)
    ]
    return [post for *_, post in sorted(ranked, key=lambda entry: entry[:2])]


def sites_of(posts: Iterable[GalleryPost]) -> dict[str, Site]:
    """The sites by instance id, those with the most posts first."""
    names = {post.instance_id: post.site_name for post in posts}
    counts = Counter(post.instance_id for post in posts)
    largest_first = sorted(names, key=lambda instance_id: (-counts[instance_id], names[instance_id], instance_id))
    return {
        instance_id: Site(f"site-{n}", names[instance_id], round((25 + n * GOLDEN_ANGLE) % 360, 1), counts[instance_id])
        for n, instance_id in enumerate(largest_first)
    }


def index_page(shown: Sequence[GalleryPost], sites: Mapping[str, Site], summary: GallerySummary) -> str:
    return render_template(
        "index.html",
        headline=headline(summary),
        title=sub(r"<[^>]+>", "", headline(summary)),
        figures="\n".join(
            figures(summary, words=sum(post.words for post in shown), per_site=[site.posts for site in sites.values()])
        ),
        facts=facts(summary.facts),
        count=counted(len(shown), "post"),
        chips="\n".join(site_chips(sites.values(), total=len(shown))),
        cards="\n".join(cards(shown, sites)),
        empty_hidden=" hidden" if shown else "",
        empty_text="No post matches. Try fewer words." if shown else "No post was finished in this run.",
        script=read_template("filter.js"),
    )


def site_chips(sites: Iterable[Site], *, total: int) -> Iterator[str]:
    chips = list(sites)
    yield f'<button type="button" class="all" value="" aria-pressed="true">All sites <span>{total}</span></button>'
    for site in chips[:SITES_AS_CHIPS]:
        yield (
            f'<button type="button" value="{site.key}" aria-pressed="false" style="--hue: {site.hue}">'
            f"{escape(site.name)} <span>{site.posts}</span></button>"
        )
    if len(chips) > SITES_AS_CHIPS:
        smaller = counted(len(chips) - SITES_AS_CHIPS, "smaller site")
        yield f'<span class="more">and {smaller}, found by name</span>'


def cards(shown: Sequence[GalleryPost], sites: Mapping[str, Site]) -> Iterator[str]:
    """The cards in order. Links to a site lead to its first card."""
    seen: set[str] = set()
    for index, post in enumerate(shown):
        site = sites[post.instance_id]
        anchor = "" if site.key in seen else f' id="{site.key}"'
        seen.add(site.key)
        yield card(post, site, index=index, anchor=anchor)


def card(post: GalleryPost, site: Site, *, index: int, anchor: str) -> str:
    words = chain([post.title, site.name, post.excerpt, post.source_label], post.tags)
    return render_template(
        "card.html",
        anchor=anchor,
        classes="card" if index else "card lead",
        hue=site.hue,
        site_key=site.key,
        site=escape(site.name),
        search_text=escape(" ".join(words)),
        href=f"posts/{quote(post.page)}",
        cover=picture(post, "images/", lazy=index >= EAGER_IMAGES)
        or f'<div class="blank" aria-hidden="true"><span>{initial(post.title)}</span></div>',
        title=escape(post.title),
        excerpt=escape(post.excerpt),
        reading_time=reading_time(post.words),
        source=source_text(post),
    )


def post_page(index: int, shown: Sequence[GalleryPost], site: Site) -> str:
    post = shown[index]
    image = picture(post, "../images/", lazy=False)
    seo_title = post.seo_title or post.title
    seo_description = post.seo_description or post.excerpt
    return render_template(
        "post.html",
        hue=site.hue,
        site_key=site.key,
        site=escape(site.name),
        initial=initial(site.name),
        position=f"{index + 1} of {len(shown)}",
        title=escape(post.title),
        excerpt=escape(post.excerpt),
        byline='<span class="dot" aria-hidden="true"></span>'.join(
            [escape(site.name), source_text(post), reading_time(post.words)]
        ),
        hero=f'<div class="hero">{image}</div>' if image else '<div class="hero plain"></div>',
        body=post.html,
        tags=tag_list(post.tags),
        seo_title=escape(seo_title),
        seo_description=escape(seo_description),
        breadcrumb=escape(breadcrumb(post)),
        seo_note=f"Title {len(seo_title)} of 60 characters, description {len(seo_description)} of 160.",
        made=definition_rows(production_facts(post)),
        neighbours="\n".join(neighbours(index, shown)),
    )


def neighbours(index: int, shown: Sequence[GalleryPost]) -> Iterator[str]:
    for name, label, beside in (("prev", "Previous", index - 1), ("next", "Next", index + 1)):
        if 0 <= beside < len(shown):
            post = shown[beside]
            yield (
                f'<a class="{name}" rel="{name}" href="{quote(post.page)}">'
                f'<small>{label}</small><span dir="auto">{escape(post.title)}</span></a>'
            )


def production_facts(post: GalleryPost) -> Iterator[tuple[str, str]]:
    yield "Job", str(post.job_id)
    yield "Site", post.instance_id
    yield "Length", f"{post.words:,} words"
    if post.seconds is not None:
        yield "Time", f"{post.seconds:,.1f} s"
    if post.cost_usd is not None:
        yield "Cost (simulated)", dollars(post.cost_usd)
    if post.wix_post_id:
        yield "Wix post (simulated)", post.wix_post_id
    if post.published_url:
        yield "Address (simulated)", post.published_url


def parse_web_url(url: str | None) -> SplitResult | None:
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.netloc else None


def breadcrumb(post: GalleryPost) -> str:
    url = parse_web_url(post.published_url)
    steps = [url.netloc, *url.path.split("/")] if url else [post.slug]
    return " \u203a ".join(step for step in steps if step)


def picture(post: GalleryPost, folder: str, *, lazy: bool) -> str:
    if post.image is None:
        return ""
    loading = ' loading="lazy" decoding="async"' if lazy else ""
    source = folder + quote(post.image.name)
    return f'<img src="{source}" alt="{escape(post.image_alt)}" width="1600" height="900"{loading}>'


def tag_list(tags: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(tag)}</li>" for tag in tags)
    return f'<ul class="tags" aria-label="Tags">{items}</ul>' if items else ""


def source_text(post: GalleryPost) -> str:
    kind = SOURCES.get(post.source_type, post.source_type.capitalize())
    return escape(f"{kind}: {post.source_label}" if post.source_label else kind)


def render_template(name: str, **values: object) -> str:
    return Template(read_template(name)).substitute(values)


@cache
def read_template(name: str) -> str:
    return (files("blogworker.demo") / "templates" / name).read_text(encoding="utf-8")
