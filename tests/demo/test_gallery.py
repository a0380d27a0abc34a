from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.demo.formatting import dollars, duration, initial, reading_time, short_number
from blogworker.demo.gallery import GalleryPost, GallerySummary, mix_sites, write_gallery

VOID = {"meta", "link", "img", "input", "br", "hr"}
HOSTILE = """</title><script>alert("x")</script> & 'quotes' "quotes" $title ${body}"""


class Page(HTMLParser):
    """Parses a page, and checks that its tags are balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.cards: list[dict[str, str | None]] = []
        self.scripts = 0
        self.text = ""
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute twice on {tag}"
        if tag not in VOID:
            self.open.append(tag)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        self.scripts += tag == "script"
        if tag == "img":
            self.images.append(found)
        if "card" in (found.get("class") or "").split():
            self.cards.append(found)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text += data


def a_post(job_id: int = 1, **changes: object) -> GalleryPost:
    post = GalleryPost(
        job_id=job_id,
        instance_id="site-a",
        site_name="Tidewrack Pottery",
        title="A mug for slow mornings",
        slug="a-mug-for-slow-mornings",
        excerpt="What a good mug does before you notice it.",
        seo_title="A mug for slow mornings | Tidewrack",
        seo_description="How a stoneware mug is made, and how to look after it.",
        tags=("mug", "stoneware"),
        html="<p>It begins with a lump of clay.</p><h2>Wheel</h2><p>Then it turns.</p>",
        image=None,
        image_alt="",
        source_type="product",
        source_label="Low Water Mug",
        published_url=f"http://127.0.0.1:8099/a/post/{job_id}",
        wix_post_id="5f0c",
        seconds=9.4,
        cost_usd=0.0213,
        words=640,
    )
    return replace(post, **changes)


def a_summary(**changes: object) -> GallerySummary:
    summary = GallerySummary(
        posts=3,
        sites=2,
        elapsed_s=41.2,
        posts_per_minute=58.3,
        cost_usd=1.27,
        requests=173,
        tokens=412_345,
        jain=0.994,
        duplicates=0,
        facts={"Workers": "4"},
    )
    return replace(summary, **changes)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


def an_image(out: Path, name: str) -> Path:
    path = out / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def pages(out: Path) -> list[Page]:
    return [Page(path) for path in sorted(out.rglob("*.html"))]


def dead_links(out: Path) -> list[tuple[str, str]]:
    """Links out of the folder, to missing files, and to missing anchors."""
    found = {page.path.resolve(): page for page in pages(out)}
    return [(page.path.name, link) for page in found.values() for link in page.links if not leads(page, link, found)]


def leads(page: Page, link: str, found: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
    if parts.scheme or parts.netloc or not target.is_file():
        return False
    return not parts.fragment or parts.fragment in found[target].ids


def test_every_post_has_a_page_and_a_card(out):
    posts = [a_post(1), a_post(2, instance_id="site-b", site_name="Fellgate"), a_post(3)]

    index = write_gallery(out, posts, a_summary())

    assert index == out / "index.html"
    assert len(Page(index).cards) == 3
    assert len(list((out / "posts").iterdir())) == 3


def test_every_link_leads_to_a_file_that_exists(out):
    posts = [
        a_post(1, image=an_image(out, "1.jpg"), image_alt="A mug"),
        a_post(2, image=an_image(out, "a ?#% ü.jpg"), image_alt="A mug"),
        a_post(3, slug="größe-und-maß", title="Größe"),
    ]

    write_gallery(out, posts, a_summary())

    assert all(page.links for page in pages(out))
    assert dead_links(out) == []


@settings(max_examples=40, deadline=None)
@given(
    sites=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    url=st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["https://a.example/p", "//a.example", "/x", "#y"])),
    slug=st.text(max_size=30),
)
def test_no_gallery_has_a_dead_link(tmp_path_factory, sites, url, slug):
    """Also for sites without a filter button: a link to such a site leads to its first card."""
    out = tmp_path_factory.mktemp("gallery")
    posts = [
        a_post(n, instance_id=f"site-{site}", site_name=f"Shop {site}", published_url=url, slug=slug)
        for n, site in enumerate(sites, 1)
    ]

    write_gallery(out, posts, a_summary())

    assert dead_links(out) == []


def test_every_page_says_that_it_is_simulated(out):
    """At the top and at the bottom: nobody must think that a real provider generated the post."""
    write_gallery(out, [a_post(1), a_post(2)], a_summary())

    for page in pages(out):
        head = page.source.lower().partition("</header>")[0].partition("<body")[2]
        foot = page.source.lower().rpartition("<footer")[2]
        assert "simulated" in head, page.path.name
        assert "simulated" in foot, page.path.name


def test_the_chip_of_a_post_links_to_its_site_in_the_index(out):
    write_gallery(out, [a_post(1), a_post(2, instance_id="site-b", site_name="Fellgate")], a_summary())

    keys = {card["data-site"] for card in Page(out / "index.html").cards}
    asked = {urlsplit(link).fragment for page in pages(out / "posts") for link in page.links if "index.html#" in link}

    assert asked == keys
    assert len(keys) == 2


def test_the_pages_need_no_network(out):
    """No font, script or style is external, and no link leads to the simulated site, which ends with the demo."""
    posts = [a_post(1), a_post(2, image=an_image(out, "2.jpg"))]

    write_gallery(out, posts, a_summary())

    assert all(urlsplit(link).scheme == "" for page in pages(out) for link in page.links)
    assert all(post.published_url in Page(out / "posts" / post.page).text for post in posts)
    style = (out / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_text_stays_text(out):
    """Titles and tags come from a model and from files of shops; only the HTML of the body is ours."""
    hostile = a_post(
        1,
        title=HOSTILE,
        site_name=HOSTILE,
        excerpt=HOSTILE,
        seo_title=HOSTILE,
        seo_description=HOSTILE,
        tags=(HOSTILE,),
        source_type=HOSTILE,
        source_label=HOSTILE,
        image=an_image(out, "1.jpg"),
        image_alt=HOSTILE,
        instance_id=HOSTILE,
        wix_post_id=HOSTILE,
        slug="../../" + HOSTILE,
    )

    write_gallery(out, [hostile, a_post(2)], a_summary(facts={HOSTILE: HOSTILE}))

    assert sorted(path.parent.name for path in out.rglob("*.html")) == ["gallery", "posts", "posts"]
    for page in pages(out):
        assert "<script>alert" not in page.source
        assert page.scripts == (1 if page.path.name == "index.html" else 0)
    post = Page(next((out / "posts").glob("1-*.html")))
    assert HOSTILE in post.text
    assert [image["alt"] for image in post.images] == [HOSTILE]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://[broken", "data:text/html,x", "", None])
def test_the_url_of_a_post_is_not_a_link(out, url):
    write_gallery(out, [a_post(1, published_url=url)], a_summary())

    assert dead_links(out) == []


def test_the_body_is_shown_as_it_was_rendered(out):
    body = "<p>Costs $5, ${not} a placeholder.</p><table><tbody><tr><td>1</td></tr></tbody></table>"

    write_gallery(out, [a_post(1, html=body)], a_summary())

    assert body in Page(next((out / "posts").iterdir())).source


def test_posts_with_the_same_slug_keep_their_own_pages(out):
    write_gallery(out, [a_post(1, title="First"), a_post(2, title="Second")], a_summary())

    assert "First" in Page(out / "posts" / "1-a-mug-for-slow-mornings.html").text
    assert "Second" in Page(out / "posts" / "2-a-mug-for-slow-mornings.html").text


@pytest.mark.parametrize("slug", ["", "---", "../..", "/", "陶" * 300, "x" * 4000, "Ünïcödé slug 🏺"])
def test_any_slug_gives_a_file_name(out, slug):
    write_gallery(out, [a_post(7, slug=slug)], a_summary())

    (page,) = (out / "posts").iterdir()
    assert page.name.startswith("7-")
    assert len(page.name.encode()) < 255


def test_text_of_any_script_survives(out):
    title = "Töpferei — 陶器の話, чашка, כוס 🏺"

    write_gallery(out, [a_post(1, title=title, excerpt=title, tags=("чай", "お茶"))], a_summary())

    for page in pages(out):
        assert title in page.text


def test_a_run_without_posts_still_has_an_index(out):
    summary = a_summary(posts=0, sites=0, cost_usd=0.0, posts_per_minute=0.0, facts={})

    page = Page(write_gallery(out, [], summary))

    assert page.cards == []
    assert "No post was finished in this run." in page.text


def test_a_post_without_an_image_or_figures_has_a_page(out):
    bare = a_post(
        1, seo_title="", seo_description="", tags=(), seconds=None, cost_usd=None, wix_post_id=None, published_url=None
    )

    write_gallery(out, [bare], a_summary())

    (post,) = pages(out / "posts")
    assert post.images == []
    assert "None" not in post.text
    assert post.text.count(bare.title) >= 3  # the title stands in for the missing SEO title


def test_images_below_the_first_screen_load_lazily_and_all_have_an_alternative_text(out):
    posts = [a_post(n, image=an_image(out, f"{n}.jpg"), image_alt=f"Mug {n}") for n in range(1, 13)]

    index = Page(write_gallery(out, posts, a_summary()))

    assert [image.get("loading") for image in index.images] == [None] * 4 + ["lazy"] * 8
    assert {image["alt"] for image in index.images} == {f"Mug {n}" for n in range(1, 13)}


def test_ids_are_unique_on_a_page(out):
    write_gallery(out, [a_post(1), a_post(2)], a_summary())

    for page in pages(out):
        assert len(page.ids) == len(set(page.ids))


def test_next_and_previous_links_visit_each_post_once(out):
    posts = [a_post(n, instance_id=f"site-{n % 3}") for n in range(1, 10)]

    write_gallery(out, posts, a_summary())

    names = [post.page for post in mix_sites(posts)]
    for before, page, after in zip([None, *names], names, [*names[1:], None], strict=False):
        beside = [link for link in Page(out / "posts" / page).links if link in names]
        assert beside == [name for name in (before, after) if name]


def test_sites_are_mixed_and_newest_come_first_within_each():
    """Jobs are enqueued shop by shop, so in the order of ids the first screen would show one shop."""
    large = [a_post(n, instance_id="large") for n in range(1, 21)]
    small = [a_post(n, instance_id="small") for n in range(21, 31)]

    shown = mix_sites(large + small)

    assert [post.job_id for post in shown if post.instance_id == "large"] == list(range(20, 0, -1))
    assert {post.instance_id for post in shown[:4]} == {"large", "small"}
    assert {post.instance_id for post in shown[-4:]} == {"large", "small"}
    assert len(shown) == 30


def test_only_the_largest_sites_have_a_chip(out):
    posts = [a_post(n, instance_id=f"site-{n}", site_name=f"Shop {n}") for n in range(40)]

    page = Page(write_gallery(out, posts, a_summary()))

    assert page.source.count("<button") == 17
    assert "and 24 smaller sites, found by name" in page.text


def test_the_summary_has_the_figures(out):
    page = Page(write_gallery(out, [a_post(1)], a_summary(elapsed_s=185.0, duplicates=2)))

    assert "3 posts for 2 sites in 3 minutes" in page.text
    for value in ("58.3", "$1.27", "412k", "173 requests", "0.994", "Workers"):
        assert value in page.text
    assert '<dd class="bad">2</dd>' in page.source
    assert "3<small>m</small>05<small>s</small>" in unescape(page.source).replace(" ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (duration(41.23), "41.2 s"),
        (duration(99.96), "1 m 40 s"),
        (duration(185), "3 m 05 s"),
        (dollars(0), "$0.00"),
        (dollars(0.0213), "$0.0213"),
        (dollars(1234.5), "$1,234.50"),
        (short_number(9_999), "9,999"),
        (short_number(412_345), "412k"),
        (short_number(999_600), "1.00M"),
        (reading_time(0), "1 min read"),
        (reading_time(231), "2 min read"),
        (initial("“quoted”"), "Q"),
        (initial("…"), "¶"),
    ],
)
def test_numbers_have_a_short_format(text, expected):
    assert text == expected
