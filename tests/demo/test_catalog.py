import csv
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from importlib.resources import files

import pytest

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,"
    "Variant Compare At Price,Image Src,Image Alt Text,SEO Title,SEO Description,Status"
)
SHOP_SIZES = [14, 11, 8, 7, 6, 5, 4, 3, 3, 2, 2, 1]
FACT = re.compile(r"<li>([A-Z][a-z]+(?: [a-z]+)*): ([^<>:]+)[.]</li>")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    text = (files("blogworker.demo") / "catalog.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), strict=True))


@pytest.fixture(scope="module")
def products(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["Title"]]


def keywords() -> Iterator[tuple[str, str]]:
    for line in (files("blogworker.demo") / "keywords.txt").read_text(encoding="utf-8").splitlines():
        vendor, keyword = line.split("\t")
        yield vendor, keyword


class Body(HTMLParser):
    """Collects the text of a description, and checks its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_catalogue_has_the_columns_of_an_export_of_a_shop(rows):
    assert all(",".join(row) == HEADER for row in rows)


def test_the_handles_of_products_are_unique(products):
    handles = [product["Handle"] for product in products]

    assert len(products) == len(set(handles)) == sum(SHOP_SIZES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", handle) for handle in handles)
    assert len({product["Title"] for product in products}) == len(products)


def test_the_shops_have_very_different_sizes(products):
    """Fairness is visible only if a shop with one product competes with a shop with many."""
    assert sorted(Counter(product["Vendor"] for product in products).values(), reverse=True) == SHOP_SIZES


def test_every_variant_row_follows_its_product(rows):
    handle = ""
    for row in rows:
        if row["Title"]:
            handle = row["Handle"]
        assert row["Handle"] == handle
        assert row["Option1 Value"]


def test_every_row_has_a_price_and_a_unique_sku(rows):
    assert all(Decimal(row["Variant Price"]) > 0 for row in rows)
    assert all(
        Decimal(row["Variant Compare At Price"]) > Decimal(row["Variant Price"])
        for row in rows
        if row["Variant Compare At Price"]
    )
    assert len({row["Variant SKU"] for row in rows}) == len(rows)


def test_every_description_is_simple_html_with_enough_text(products):
    for product in products:
        body = Body(product["Body (HTML)"])

        assert len(body.text) > 80, product["Handle"]
        assert body.open == [], product["Handle"]
        assert body.tags <= {"p", "ul", "li", "strong", "em"}, product["Handle"]


def test_no_description_repeats_another(products):
    sentences = [
        sentence
        for product in products
        for sentence in re.split(r"(?<=[.!])\s", re.sub(r"<[^>]+>", " ", FACT.sub("", product["Body (HTML)"])))
        if len(sentence) > 40
    ]

    assert [sentence for sentence, times in Counter(sentences).items() if times > 1] == []


def test_products_of_one_type_have_the_same_kinds_of_facts(products):
    """Labelled facts such as material, size and care: the posts about a product come from them."""
    labels: dict[str, set[tuple[str, ...]]] = {}
    for product in products:
        facts = FACT.findall(product["Body (HTML)"])
        labels.setdefault(product["Type"].rpartition(" ")[2], set()).add(tuple(label for label, _ in facts))
        assert len(facts) >= 4, product["Handle"]

    assert all(len(found) == 1 for found in labels.values()), labels


def test_every_product_has_tags_and_an_image_text(products):
    for product in products:
        tags = [tag.strip() for tag in product["Tags"].split(",")]

        assert 3 <= len(tags) == len(set(tags)) <= 5, product["Handle"]
        assert product["Image Alt Text"]
        assert len(product["SEO Title"]) <= 60
        assert len(product["SEO Description"]) <= 160


def test_the_catalogue_has_no_external_urls(rows):
    """The demo runs without a network, and invented shops have no real URL."""
    text = " ".join(value for row in rows for value in row.values())

    assert re.search(r"https?:|www\.|\b[a-z0-9-]+\.(com|net|org|io|shop)\b", text) is None


def test_each_of_the_sixty_keywords_belongs_to_a_shop_of_the_catalogue(products):
    pairs = list(keywords())

    assert len(pairs) == len(set(pairs)) == 60
    assert {vendor for vendor, _ in pairs} == {product["Vendor"] for product in products}
    assert all(keyword.strip() == keyword and len(keyword.split()) >= 3 for _, keyword in pairs)
