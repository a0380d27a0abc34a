"""What a site's owner asks of every post."""

import json

import pytest

from blogworker.errors import SettingsError
from blogworker.post import judging, tags
from blogworker.post.judging import faults_of, linked
from blogworker.post.language import other_language
from blogworker.post.site import SiteSettings, checked, usable
from blogworker.stages import content

from .conftest import body, post

URL = "https://shop.example/mug"
GERMAN = (
    "Ein Becher, der jeden Morgen neben dem Kessel steht, verdient seinen Platz durch das Gewicht und einen Griff, "
    "der in die Hand passt. Es ist nicht die Farbe, die zählt, auch wenn sie schön ist, und wer für sich einen sucht, "
    "sollte auf den Rand achten, denn mit ihm beginnt der Tag. "
) * 3
ENGLISH = (
    "A mug that stands by the kettle every morning earns its place by weight and by a handle that fits the hand. It is "
    "not the colour that you will notice when you have it for a year, and this is what they do not tell you in a shop. "
) * 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"langauge": "de"}, "langauge is not a setting of a site; known are language, tone"),
        ({"langauge": None}, "langauge is not a setting of a site"),
        ({"language": "German please"}, "language: .*a tag such as en"),
        ({"words": 50}, "words: .*300"),
        ({"words": "many"}, "words: .*integer"),
        ({"forbidden_words": "cheap"}, "forbidden_words: .*list"),
        ({"forbidden_words": ["ok", " "]}, "forbidden_words.1: is empty"),
        ({"publish_mode": "later"}, "publish_mode: .*'publish' or 'draft'"),
        ({"currency": "Euro"}, "currency: is not a currency code of ISO 4217: write three letters, such as EUR"),
        ({"currency": "XYZ"}, "currency: is not a currency code"),
        ({"currency": 978}, "currency: .*string"),
        ({"language": "german!", "words": 1}, "language: .*; words: "),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(given, message):
    with pytest.raises(SettingsError, match=message) as raised:
        checked(given)

    assert "\n" not in str(raised.value)


def test_settings_are_stored_normalised_and_null_removes_one():
    stored = checked({"tone": "  <b>dry</b>  humour ", "language": "pt-BR", "brand_words": ["MugCo"], "words": None})

    assert stored == {"tone": "dry humour", "language": "pt-BR", "brand_words": ["MugCo"], "words": None}


def test_the_currency_of_a_site_is_stored_in_capitals_and_is_not_for_the_writer():
    assert checked({"currency": " eur "}) == {"currency": "EUR"}
    assert usable({"currency": "EUR", "tone": "warm"}).facts() == {"tone": "warm"}


def test_a_worker_ignores_a_setting_made_invalid_by_sql():
    assert usable({"words": "x", "tone": "warm", "unheard_of": 1, "language": None}).facts() == {"tone": "warm"}


def faults(*, text=None, own_url="", **settings):
    made = judging.Post.model_validate(post(**({"body_markdown": text} if text else {})))
    words = len(made.body_markdown.split())
    found = faults_of(made, made.body_markdown, words=words, own_url=own_url, site=SiteSettings(**settings))
    return [fault.message for fault in found]


def test_a_site_sets_the_length():
    assert faults(words=600) == []
    assert "asks for about 300" in faults(words=300, text=body(sections=9))[0]
    assert "preferably 3,000" in faults(words=3000)[0]


def test_forbidden_words_are_found_everywhere_as_words():
    """`art` is no `cart`; case and inflection by punctuation do not hide one."""
    assert faults(forbidden_words=["cart", "eep"]) == []
    assert [fault.split()[0] for fault in faults(forbidden_words=["COFFEE"])] == [
        "title", "seo_title", "seo_description",
    ]  # fmt: skip


def test_a_forbidden_tag_is_omitted():
    made = content.read_post(
        json.dumps(post(tags=["Coffee", "Cheap"])), source={}, idea={}, site=SiteSettings(forbidden_words=["cheap"])
    )

    assert made["tags"] == ["Coffee"]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        (ENGLISH, "en", None),
        (GERMAN, "de-AT", None),
        (ENGLISH, "de", "en"),
        (GERMAN, "en-GB", "de"),
        (ENGLISH, "ru", "en"),
        ("Кружка стоит рядом на кухне каждое утро. " * 30, "ru", None),
        (ENGLISH, "xx", None),
        ("mug " * 200, "de", None),
        ("the and of to is that", "de", None),
    ],
)
def test_only_a_clearly_different_language_is_a_fault(text, language, found):
    assert other_language(text, language) == found


def test_a_missing_link_is_added_at_the_first_mention_in_a_paragraph():
    text = "## The Low Water Mug\n\nWhy the low water mug stays warm. The Low Water Mug again."

    made = linked(text, name="Low Water Mug", own_url=URL)

    assert made == f"## The Low Water Mug\n\nWhy the [low water mug](<{URL}>) stays warm. The Low Water Mug again."
    assert linked(made, name="Low Water Mug", own_url=URL) == made


def test_a_post_that_never_names_the_product_is_sent_back():
    assert "link its url once" in faults(own_url=URL)[0]


def test_tags_are_written_as_the_site_writes_them():
    """A reader should not meet Mugs, mugs and Mug."""
    assert tags.reused(["mug", "Slow mornings", "GLASS"], ["Mugs", "mugs", "Glass"]) == [
        "Mugs", "Slow mornings", "Glass",
    ]  # fmt: skip
