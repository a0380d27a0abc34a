"""A good post in four languages.

It contains what resembles a defect and is not one: steps, common sizes and temperatures, tables, a price as the source
has it, `z. B.`, `TODO` in Spanish capitals.
"""

from pathlib import Path
from typing import Any

from blogworker.stages.source import normalised

OWN = "https://shop.example/mug"
SOURCE = normalised(
    "product",
    "p1",
    {
        "name": "Low Water Mug",
        "description": "A straight-sided mug in speckled stoneware with a broad handle. 9 cm tall, 8.5 cm across. "
        "Holds 320 ml. Dishwasher safe.",
        "price": "26.00",
        "currency": "USD",
        "vendor": "Tidewrack Pottery",
        "url": OWN,
    },
)
LANGUAGES = ("en", "de", "fr", "es")
BODIES = {
    language: (Path(__file__).parent / "posts" / f"{language}.md").read_text("utf-8").strip() for language in LANGUAGES
}
FIELDS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "Why a Heavy Mug Keeps Coffee Warm",
        "excerpt": "Wall, mouth and a warm start decide how long a drink stays hot. What to check first.",
        "seo_description": "A thick wall and a hot rinse keep coffee warm for longer. What to look at in a mug.",
        "tags": ["Coffee", "Mugs"],
        "image_alt": "A speckled mug steaming on a windowsill",
    },
    "de": {
        "title": "Warum eine schwere Tasse den Kaffee warm hält",
        "excerpt": "Wand, Öffnung und ein warmer Start entscheiden, wie lange es heiß bleibt.",
        "seo_description": "Eine dicke Wand und heißes Ausspülen halten den Kaffee länger warm.",
        "tags": ["Kaffee", "Tassen"],
        "image_alt": "Eine gesprenkelte Tasse dampft auf der Fensterbank",
    },
    "fr": {
        "title": "Pourquoi une tasse lourde garde le café chaud",
        "excerpt": "La paroi, l'ouverture et un départ chaud décident combien de temps elle reste chaude.",
        "seo_description": "Une paroi épaisse et un rinçage chaud gardent le café chaud plus longtemps.",
        "tags": ["Café", "Tasses"],
        "image_alt": "Une tasse mouchetée fume sur le rebord d'une fenêtre",
    },
    "es": {
        "title": "Por qué una taza pesada mantiene el café caliente",
        "excerpt": "La pared, la boca y un comienzo caliente deciden cuánto tiempo sigue caliente una bebida.",
        "seo_description": "Una pared gruesa y un enjuague caliente guardan el calor del café más tiempo.",
        "tags": ["Café", "Tazas"],
        "image_alt": "Una taza moteada humea en el alféizar de una ventana",
    },
}


def good(language: str) -> dict[str, Any]:
    own = FIELDS[language]
    return {
        **own,
        "slug": "heavy-mug",
        "seo_title": own["title"],
        "body_markdown": BODIES[language],
        "image_prompt": "A speckled stoneware mug on a windowsill in low morning light, steam rising.",
    }
