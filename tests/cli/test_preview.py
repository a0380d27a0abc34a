"""`blogworker preview`: what is checked before anything is paid for."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from blogworker.cli import preview_forms as forms
from blogworker.demo.page import preview_page
from blogworker.stages.preview import Preview

USAGE, REFUSED = 2, 75
KEYS = {"OPENAI_API_KEY": "sk-test-1", "REPLICATE_API_TOKEN": "r8-test-1"}
EXPORT = """handleId,fieldType,name,description,price
mug,Product,Low Water Mug,A mug.,26.00
bowl,Product,Tide Bowl,A bowl.,31.00
jug,Product,Harbour Jug,A jug.,cheap
"""


def complained(ran: Any, *, of: str, code: int = USAGE) -> None:
    """In one clear line, before anything was started."""
    assert (ran.code, ran.out) == (code, ""), ran
    assert len(ran.complaints) == 1, ran.err
    assert ran.err.startswith("blogworker: ")
    assert of in ran.err


@pytest.fixture
def export(offline: Any) -> Path:
    path: Path = offline.folder / "export.csv"
    path.write_text(EXPORT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "one of --keyword, --text and --product"),
        (("--keyword", "mugs", "--product", "export.csv"), "one of --keyword, --text and --product"),
        (("--keyword", " "), "a keyword job needs its keyword"),
        (("--keyword", "mugs", "--row", "1"), "use them with --product"),
        (("--product", "export.csv"), "has several rows (mug, bowl): choose one with --handle or --row"),
        (("--product", "export.csv", "--row", "1", "--handle", "mug"), "either --handle or --row"),
        (("--product", "export.csv", "--handle", "mugs"), "no row with the handle 'mugs': did you mean mug?"),
        (("--product", "nowhere.csv", "--row", "1"), "nowhere.csv cannot be read: No such file"),
        (("--text", "nowhere.txt"), "nowhere.txt cannot be read: No such file"),
        (("--text", "empty.txt"), "a text job needs its text"),
        (("--text", "latin.txt"), "latin.txt is not UTF-8 at byte 4"),
        (("--keyword", "mugs", "--html", "nowhere/page.html"), "name a file in a folder that exists"),
    ],
)
def test_a_refused_preview_is_explained_in_one_line(
    offline: Any, export: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (offline.folder / "empty.txt").write_text("")
    (offline.folder / "latin.txt").write_bytes(b"caf\xe9")
    if "mugs" in arguments and "--handle" in arguments:
        export.write_text("".join(EXPORT.splitlines(keepends=True)[:2]), encoding="utf-8")

    complained(offline("preview", *arguments, **KEYS), of=reason)


def test_a_missing_row_is_explained_by_the_bad_ones(offline: Any, export: Path) -> None:
    """The third product exists, but its price is invalid."""
    ran = offline("preview", "--product", "export.csv", "--row", "3", **KEYS)

    assert (ran.code, ran.out) == (USAGE, "")
    assert ran.complaints[0].startswith("blogworker: export.csv:4: product 'jug': price 'cheap' is not a price")
    assert ran.complaints[1] == "blogworker: export.csv has fewer than 3 rows"


@pytest.mark.parametrize(("given", "missing"), [("REPLICATE_API_TOKEN", "OPENAI_API_KEY"), ("OPENAI_API_KEY", "REPL")])
def test_a_missing_key_is_named_before_anything_is_started(offline: Any, given: str, missing: str) -> None:
    complained(offline("preview", "--keyword", "mugs", **{given: KEYS[given]}), of=missing)


def test_without_a_picture_no_replicate_key_is_needed(offline: Any) -> None:
    """The database is looked for next, so its fault is the one that is told."""
    ran = offline(
        *("preview", "--keyword", "mugs", "--no-image"),
        OPENAI_API_KEY="sk",
        DATABASE_URL="postgresql://u@127.0.0.1:1/d",
    )

    complained(ran, of="cannot connect to Postgres", code=REFUSED)


@pytest.mark.parametrize("simulated", [True, False])
def test_a_simulated_post_says_so_in_every_form(simulated: bool) -> None:
    """It reads as if it were true, and may be passed on."""
    idea = {"title": "Mugs", "score": 90, "angle": "All of them."}
    post = dict.fromkeys(("title", "slug", "excerpt", "seo_title", "seo_description", "markdown", "html"), "Mugs")
    made = Preview(
        source={"kind": "keyword", "keyword": "mugs", "site": {}},
        ideas={"chosen": idea, "others": []},
        post={**post, "tags": ["mugs"], "word_count": 400},
        image=None,
        picture=None,
        calls=(),
        simulated=simulated,
    )

    bill = Console(file=io.StringIO(), width=200)
    bill.print(forms.costs(made))
    shown = [forms.markdown(made), preview_page(made), bill.file.getvalue()]

    assert ["stand-ins for openai" in text.lower() for text in shown] == [simulated] * 3
    assert json.loads(forms.as_json(made))["simulated"] is simulated


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ({"kind": "product", "url": "https://shop.example/mug"}, "- Product page: https://shop.example/mug"),
        ({"kind": "product", "no_link": "the product has no sku"}, "- Product page: no link: the product has no sku"),
    ],
)
def test_a_preview_shows_the_link_of_the_post_or_why_it_has_none(source: dict[str, str], shown: str) -> None:
    post = dict.fromkeys(("title", "slug", "excerpt", "seo_title", "seo_description", "markdown", "html"), "Mugs")
    made = Preview(
        source={"site": {}, **source},
        ideas={"chosen": {"title": "Mugs", "score": 90, "angle": "All of them."}, "others": []},
        post={**post, "tags": ["mugs"], "word_count": 400},
        image=None,
        picture=None,
        calls=(),
    )

    assert shown in forms.markdown(made).splitlines()
