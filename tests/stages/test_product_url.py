"""The template of a site's product pages. What it gives is an address of that shop, or nothing."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.plain import web_address
from blogworker.post.product_url import checked_template, filled, for_learnt, learnt, page_of

PAGE = "https://shop.example/product-page/{handle}"
WORDS = st.text("abcdéßШ陶/?#%&{}.- \u200b\\", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (PAGE, PAGE),
        (f"  {PAGE} ", PAGE),
        ("HTTP://Shop.Example:8080/{id}", "http://shop.example:8080/{id}"),
        ("https://shop.example/Größe/{sku}?ref=blog#top", "https://shop.example/Gr%C3%B6%C3%9Fe/{sku}?ref=blog#top"),
        ("https://shop.example/Gr%C3%B6sse/{sku}", "https://shop.example/Gr%C3%B6sse/{sku}"),
        ("https://shop.example?p={id}", "https://shop.example?p={id}"),
        ("https://xn--kse-qla.example/{handle}/{sku}", "https://xn--kse-qla.example/{handle}/{sku}"),
        ("http://127.0.0.1:8400/{handle}", "http://127.0.0.1:8400/{handle}"),
        ("http://[::1]:80/{handle}", "http://[::1]:80/{handle}"),
    ],
)
def test_a_template_is_stored_as_browsers_would_send_it(given, stored):
    assert checked_template(given) == stored


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "not a web address"),
        ("shop.example/{handle}", "not a web address"),
        ("ftp://shop.example/{handle}", "not a web address"),
        ("javascript:alert({handle})", "not a web address"),
        ("https:///{handle}", "not a web address"),
        ("https://product-page/{handle}", "not a web address"),
        ("https://shop..example/{handle}", "not a web address"),
        ("https://shop.example:port/{handle}", "not a web address"),
        ("https://[shop]/{handle}", "not a web address"),
        ("https://käse.example/{handle}", "xn--"),
        ("https://owner:s3cret@shop.example/{handle}", "user name or a password"),
        ("https://owner@shop.example/{handle}", "user name or a password"),
        ("https://{handle}.shop.example/", "placeholder in its host"),
        ("https://shop.example{handle}", "placeholder in its host"),
        ("https://shop.example/{colour}/{handle}", "unknown placeholder {colour}; known are {handle}, {id}, {sku}"),
        ("https://shop.example/{Handle}", "unknown placeholder"),
        ("https://shop.example/{}", "unknown placeholder"),
        ("https://shop.example/{{handle}}", "brace"),
        ("https://shop.example/{handle", "brace"),
        ("https://shop.example/mugs", "no placeholder"),
        ("https://shop.example/a b/{handle}", "not allowed in an address"),
        ("https://shop.example\\{handle}", "not allowed in an address"),
        ("https://shop.example/100%/{handle}", "not allowed in an address"),
        ('https://shop.example/"{handle}', "not allowed in an address"),
        ("https://shop.example/\x00{handle}", "control"),
        ("https://shop.example/\u202e{handle}", "invisible"),
        (f"https://shop.example/{'x' * 500}/{{handle}}", "more than 500"),
    ],
)
def test_an_invalid_template_is_reported_without_quoting_it(given, expected):
    with pytest.raises(ValueError, match=re.escape(expected)) as raised:
        checked_template(given)

    assert "s3cret" not in str(raised.value)


@given(st.text(max_size=60) | st.text("{}handle:/@.?#% \n", max_size=60).map("https://shop.example/{}".format))
def test_a_template_is_refused_or_stays_as_it_was_stored(text):
    try:
        stored = checked_template(text)
    except ValueError:
        return

    assert checked_template(stored) == stored
    assert stored.isascii()
    assert "@" not in urlsplit(stored).netloc


@given(WORDS)
def test_a_product_address_is_on_the_shop_and_contains_the_whole_value(value):
    address, fault = filled(PAGE, {"handle": value}, None)

    assert bool(address) is not bool(fault)
    if address:
        start, _, last = address.rpartition("/")
        assert start == PAGE.rpartition("/")[0]
        assert unquote(last) in (value.strip(), unquote(value.strip()))
        assert web_address(address) == address
        assert urlsplit(address).fragment == urlsplit(address).query == ""


@pytest.mark.parametrize(
    ("template", "product", "expected"),
    [
        (PAGE, {"handle": "low water/mug"}, "https://shop.example/product-page/low%20water%2Fmug"),
        (PAGE, {"handle": "caf%C3%A9"}, "https://shop.example/product-page/caf%C3%A9"),
        (PAGE, {"slug": "mug"}, "https://shop.example/product-page/mug"),
        ("https://shop.example/?p={id}&s={sku}", {"id": 4711, "sku": "A&B"}, "https://shop.example/?p=4711&s=A%26B"),
        ("https://shop.example/{id}", {}, "https://shop.example/p1"),
        (PAGE, {}, "no handle"),
        (PAGE, {"handle": True}, "no handle"),
        (PAGE, {"handle": ["mug"]}, "no handle"),
        (PAGE, {"handle": ".."}, "another page"),
        (PAGE, {"handle": "%2e%2E"}, "another page"),
        (PAGE, {"handle": "m\u200bug"}, "cannot be part"),
        (PAGE, {"handle": "x" * 201}, "cannot be part"),
        (PAGE, {"handle": "product_3f2504e0-4f89-11d3-9a0c-0305e82c3301"}, "an id of Wix"),
        ("https://shop.example/{sku}", {"handle": "mug"}, "no sku"),
    ],
)
def test_products_get_their_address_from_the_template(template, product, expected):
    address, fault = filled(template, product, "p1")

    assert expected == address or expected in fault


@pytest.mark.parametrize(
    ("url", "handle", "template"),
    [
        ("https://shop.example/product-page/low-water-mug", "low-water-mug", PAGE),
        ("https://shop.example/product-page/gr%C3%B6%C3%9Fe", "größe", PAGE),
        ("https://shop.example/product-page/low-water-mug", "another", None),
        ("https://shop.example/product-page/low-water-mug?v=1", "low-water-mug", None),
        ("https://u:p@shop.example/product-page/low-water-mug", "low-water-mug", None),
        ("/product-page/low-water-mug", "low-water-mug", None),
        ("https://shop.example", "shop.example", None),
        (None, "low-water-mug", None),
        ("https://shop.example/", "", None),
    ],
)
def test_a_template_is_learnt_from_a_page_that_ends_with_its_handle(url, handle, template):
    assert learnt(url, handle) == template


@pytest.mark.parametrize(
    ("handle", "name", "likely"),
    [
        ("low-water-mug", "Low Water Mug", True),
        ("low-water-mug-2", "Low Water Mug (blue)", True),
        ("grosse-tasse", "Große Tasse", True),
        ("raeucherbrett", "Räucherbrett", True),
        ("raucherbrett", "Räucherbrett", True),
        ("bougie-d-ete", "Bougie d\u2019été", True),
        ("bougie-dete", "Bougie d'été", True),
        ("p-01", "Oat Soap", False),
        ("4711", "Mug 4711", False),
        ("HL-1", "Harbour Lamp", False),
        ("product_3f2504e0-4f89-11d3-9a0c-0305e82c3301", "Mug", False),
        ("", "Mug", False),
    ],
)
def test_a_learnt_template_is_used_for_handles_that_a_shop_made_of_the_name(handle, name, likely):
    """A producer's own number would give a dead link."""
    assert for_learnt({"handle": handle}, name=name) is likely


def test_why_there_is_no_link_is_one_line():
    assert page_of({"kind": "keyword", "url": ""}) is None
    assert page_of({"kind": "product", "url": "https://shop.example/mug"}) == "https://shop.example/mug"
    assert page_of({"kind": "product"}) == "no link: the source has no url and the site no --product-url"
