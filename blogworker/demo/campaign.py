"""What the demo asks for: blogs about the products and keywords of a dozen invented shops of very unequal size."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from itertools import count, product

from blogworker.intake import Accepted, read
from blogworker.post.plain import slug
from blogworker.queue.validation import NewJob

DATA = files("blogworker.demo")
# These fit any keyword, so that a large campaign has enough different ones.
SITUATIONS = ("for beginners", "in winter", "on a small budget", "in a small flat", "in summer", "for two", "at work")


@dataclass(frozen=True, slots=True)
class Shop:
    """A site of the demo, with its products first and its keywords after."""

    instance_id: str
    name: str
    size: int  # products in the catalogue
    blogs: tuple[NewJob, ...]


def campaign(blogs: int, sites: int) -> list[tuple[Shop, list[NewJob]]]:
    """`blogs` blogs dealt out over `sites` sites in proportion to the size of their catalogues, one each at least.

    Raises ValueError when there are fewer blogs than sites.
    """
    if blogs < sites:
        raise ValueError(f"{blogs} blogs cannot serve {sites} sites: ask for at least one each")
    chosen = _sites(sites)
    shares = _shares([shop.size for shop in chosen], blogs)
    return [(shop, _take(shop, share)) for shop, share in zip(chosen, shares, strict=True)]


def shops() -> list[Shop]:
    """The shops of the catalogue, the largest first."""
    products: dict[str, list[NewJob]] = defaultdict(list)
    with as_file(DATA / "catalog.csv") as path:
        for row in read(path, instance_id="demo"):
            if isinstance(row, Accepted):
                products[str(row.job.source_data["vendor"])].append(row.job)
    keywords: dict[str, list[NewJob]] = defaultdict(list)
    for line in (DATA / "keywords.txt").read_text(encoding="utf-8").splitlines():
        vendor, _, keyword = line.partition("\t")
        keywords[vendor].append(NewJob("demo", "keyword", None, {"keyword": keyword, "vendor": vendor}))
    found = [
        Shop(slug(vendor), vendor, len(blogs), tuple(blogs + keywords[vendor])) for vendor, blogs in products.items()
    ]
    return sorted(found, key=lambda shop: (-shop.size, shop.name))


def _sites(wanted: int) -> list[Shop]:
    """The shops, and branches of them when more sites are wanted than there are shops."""
    originals = shops()
    sites: list[Shop] = []
    for branch in count(1):
        for shop in originals:
            if len(sites) == wanted:
                return sites
            sites.append(shop if branch == 1 else _branch(shop, branch))
    raise AssertionError("count() does not end")


def _branch(shop: Shop, number: int) -> Shop:
    return replace(shop, instance_id=f"{shop.instance_id}-{number}", name=f"{shop.name} {number}")


def _shares(sizes: list[int], blogs: int) -> list[int]:
    """Proportional to size, at least one each, summing to `blogs`; what rounding leaves goes to the largest."""
    spare = blogs - len(sizes)
    shares = [1 + spare * size // sum(sizes) for size in sizes]
    for index in range(blogs - sum(shares)):
        shares[index % len(shares)] += 1
    return shares


def _take(shop: Shop, share: int) -> list[NewJob]:
    supply = _supply(shop)
    return [replace(next(supply), instance_id=shop.instance_id) for _ in range(share)]


def _supply(shop: Shop) -> Iterator[NewJob]:
    """The shop's own blogs, then every keyword in every situation, then those again with a number."""
    yield from shop.blogs
    themes = [str(blog.source_data["keyword"]) for blog in shop.blogs if blog.source_type == "keyword"]
    for edition in count(1):
        suffix = "" if edition == 1 else f", part {edition}"
        for situation, theme in product(SITUATIONS, themes):
            yield NewJob("demo", "keyword", None, {"keyword": f"{theme} {situation}{suffix}", "vendor": shop.name})
