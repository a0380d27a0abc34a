"""The motifs of pictures, and the words of a prompt that select them."""

import re
from collections.abc import Callable, Mapping

from blogworker.simulator.pictures import craft, home, work, worn
from blogworker.simulator.pictures.stamp import Stamp

Motif = Callable[[Stamp], None]

# Motif: the words that select it.
_SELECTORS = """
candle: candle candles wick wax incense diffuser tealight
raincoat: jacket raincoat anorak parka waterproof
jersey: merino
shirt: shirt shirts tee jumper sweater top tops hoodie coat cardigan blouse overshirt garment
shirt: pullover vest polo clothing apparel
dress: dress skirt kimono gown
ring: ring rings jewel watch
bangle: bracelet bangle jewellery jewelry silver
earrings: earring earrings necklace pendant chain choker brooch anklet
stool: stool
knife: knife knives whetstone
bicycle: bicycle bicycles bike cycling
chair: chair chairs bench furniture armchair
sofa: sofa couch cushion pillow bed blanket throw rug
lamp: lamp lamps lighting light-bulb lantern
plant: plant plants planter planters pot pots monstera fern succulent cactus herb herbs seed garden tomato
plant: shrub terrarium houseplant
vase: vase flower flowers bouquet rose tulip orchid
mug: mug mugs coffee tea cup cups espresso latte teapot kettle brew dripper matcha
bottle: bottle serum oil lotion shampoo perfume cleanser toner sunscreen skincare wine sauce
jar: jar cream balm honey jam scrub mask granola moisturizer moisturiser soap spice
book: book books notebook journal planner calendar pen paper poster print tool course
bag: bag bags tote backpack wallet purse pouch suitcase satchel luggage travel
shoe: shoe shoes sneaker sneakers boot boots sandal sandals running sock socks
bowl: bowl plate dish salad soup pasta recipe cheese fruit snack breakfast dinner
loaf: bread sourdough loaf starter cake bakery baking cookie
laptop: laptop keyboard monitor software app website program phone campaign marketing
gift: gift present
shop: shop store studio agency clinic salon service business hotel restaurant brand
tent: tent camping hike hiking mountain trail adventure
blocks: toy toys baby kids children child puzzle nursery game blocks
"""


def _motif(name: str) -> Motif:
    module = next(module for module in (home, worn, work, craft) if hasattr(module, name))
    motif: Motif = getattr(module, name)
    return motif


_WORDS: Mapping[str, Motif] = {
    word: _motif(name)
    for name, _, words in (line.partition(": ") for line in _SELECTORS.strip().splitlines())
    for word in words.split()
}
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")


def motif_for(prompt: str) -> Motif | None:
    """The motif of the first known word of a prompt; None if there is none."""
    # `writer` puts the kind of product in parentheses. It says more than an invented product name.
    inside = re.search(r"\(([^)]*)\)", prompt)
    for text in (inside[1] if inside else "", prompt):
        for word in _WORD.findall(text.lower()):
            if word in _WORDS:
                return _WORDS[word]
    return None
