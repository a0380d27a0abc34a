"""The products of every simulated shop."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """One product. The description is HTML, the price is in US dollars."""

    name: str
    slug: str
    description: str
    price: str
    brand: str
    ribbon: str = ""


PRODUCTS = (
    Product(
        "Cedar & Sage Candle", "cedar-sage-candle",
        "<p>Hand-poured soy wax with <strong>cedarwood</strong> and garden sage.</p>"
        "<ul><li>Burns for about 45 hours</li><li>Cotton wick</li><li>Refillable glass</li></ul>",
        "24.00", "Harbour Lane", "New",
    ),
    Product(
        "Stoneware Pour-Over Set", "stoneware-pour-over-set",
        "<p>A dripper and two cups thrown from speckled stoneware.&nbsp;Glazed inside, raw outside.</p>"
        "<p>Fits standard paper filters and is safe in the dishwasher.</p>",
        "58.00", "Kiln No. 4",
    ),
    Product(
        "Linen Overshirt", "linen-overshirt",
        "<p>Washed linen, cut a little wide, with corozo buttons.</p>"
        "<p>Softer after every wash &mdash; wear it open or "
        "buttoned up.</p>",
        "89.00", "Field Notes Apparel", "Bestseller",
    ),
    Product(
        "Oak Reading Chair", "oak-reading-chair",
        "<p>Solid oak frame, woven paper-cord seat. <em>Made to order</em> in four weeks.</p>"
        "<p>Assembled by hand; every joint is pegged, not screwed.</p>",
        "420.00", "Northroom",
    ),
    Product(
        "Hammered Silver Ring", "hammered-silver-ring",
        "<p>Recycled sterling silver, hammered by hand so that no two rings are alike.</p>"
        "<p>Comes in a cotton pouch.</p>",
        "46.50", "Mina Vale", "Handmade",
    ),
    Product(
        "Terracotta Herb Planter", "terracotta-herb-planter",
        "<p>Three pots on one saucer: basil, thyme and mint fit side by side.</p>"
        "<p>Unglazed clay lets roots breathe.</p>",
        "32.00", "Greenhouse Row",
    ),
    Product(
        "Rosehip Face Oil", "rosehip-face-oil",
        "<p>Cold-pressed rosehip and jojoba, nothing else.</p>"
        "<p>A few drops at night are enough.&nbsp;30&nbsp;ml.</p>",
        "19.90", "Dune Botanics",
    ),
    Product(
        "Canvas Market Tote", "canvas-market-tote",
        "<p>Heavy organic canvas with leather handles and one inner pocket.</p><p>Carries 15 kg without complaint.</p>",
        "38.00", "Harbour Lane", "Sale",
    ),
)  # fmt: skip
