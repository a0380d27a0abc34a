"""The jobs of the demo: products and keywords of a dozen invented shops of very different sizes."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from itertools import count, product

from blogworker.intake import Accepted, read
from blogworker.post.plain import slug
from blogworker.queue.validation import NewJob

DATA = files("blogworker.demo")
# They are appended to keywords, so that a large campaign has enough different ones.
SITUATIONS = ("for beginners", "in winter", "on a small budget", "in a small flat", "in summer", "for two", "at work")


@dataclass(frozen=True, slots=True)
class Shop:
    """A site of the demo. Its jobs are first its products, then its keywords."""

    instance_id: str
    name: str
    size: int  # products in the catalogue
    jobs: tuple[NewJob, ...]


def campaign(jobs: int, sites: int) -> list[tuple[Shop, list[NewJob]]]:
    """Distribute `jobs` jobs over `sites` sites in proportion to their number of products, at least one for each site.

    Raises ValueError if there are fewer jobs than sites.
    """
    if jobs < sites:
        raise ValueError(f"{jobs} jobs for {sites} sites are too few: each site needs at least one")
    chosen = _first_sites(sites)
    shares = _shares([shop.size for shop in chosen], jobs)
    return [(shop, _jobs_for(shop, share)) for shop, share in zip(chosen, shares, strict=True)]


def shops() -> list[Shop]:
    """The shops of the catalogue, largest first."""
    products: dict[str, list[NewJob]] = defaultdict(list)
    with as_file(DATA / "catalog.csv") as path:
        for row in read(path, instance_id="demo"):
            if isinstance(row, Accepted):
                products[str(row.job.source_data["vendor"])].append(row.job)
    keywords: dict[str, list[NewJob]] = defaultdict(list)
    for line in (DATA / "keywords.txt").read_text(encoding="utf-8").splitlines():
        vendor, _, keyword = line.partition("\t")
        keywords[vendor].append(NewJob("demo", "keyword", None, {"keyword": keyword, "vendor": vendor}))
    found = [Shop(slug(vendor), vendor, len(jobs), tuple(jobs + keywords[vendor])) for vendor, jobs in products.items()]
    return sorted(found, key=lambda shop: (-shop.size, shop.name))


def _first_sites(number: int) -> list[Shop]:
    """The first shops; if there are not enough, branches of them too."""
    originals = shops()
    sites: list[Shop] = []
    for branch in count(1):
        for shop in originals:
            if len(sites) == number:
                return sites
            sites.append(shop if branch == 1 else _branch(shop, branch))
    raise AssertionError("count() does not end")


def _branch(shop: Shop, number: int) -> Shop:
    return replace(shop, instance_id=f"{shop.instance_id}-{number}", name=f"{shop.name} {number}")


def _shares(sizes: list[int], jobs: int) -> list[int]:
    """Shares in proportion to the sizes, at least one each. The remainder goes to the largest."""
    spare = jobs - len(sizes)
    shares = [1 + spare * size // sum(sizes) for size in sizes]
    for index in range(jobs - sum(shares)):
        shares[index % len(shares)] += 1
    return shares


def _jobs_for(shop: Shop, share: int) -> list[NewJob]:
    jobs = _endless_jobs(shop)
    return [replace(next(jobs), instance_id=shop.instance_id) for _ in range(share)]


def _endless_jobs(shop: Shop) -> Iterator[NewJob]:
    """The jobs of the shop, then each keyword with each situation, then these again with a part number."""
    yield from shop.jobs
    keywords = [str(job.source_data["keyword"]) for job in shop.jobs if job.source_type == "keyword"]
    for part in count(1):
        suffix = "" if part == 1 else f", part {part}"
        for situation, keyword in product(SITUATIONS, keywords):
            yield NewJob("demo", "keyword", None, {"keyword": f"{keyword} {situation}{suffix}", "vendor": shop.name})
