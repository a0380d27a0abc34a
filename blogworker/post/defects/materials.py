"""Compares the material that a post states for a product with the source, in the seven languages of `NAMES`."""

import re
from collections.abc import Iterator

from blogworker.post.defects.claims import Claim, about, first_unknown
from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.language import most_likely_language

MADE_OF = re.compile(
    r"\b(?:made (?:of|from|out of|in)|crafted (?:of|from)|built from|woven from"
    r"|(?:ist|besteht|gefertigt|gemacht|hergestellt|gewebt|tasse|schale|stück)\s?aus"
    r"|(?:fait|faite|fabriquée?|conçue?|tissée?)s? (?:en|de|d['’])|est en|hech[oa]s? (?:de|en|con)|es de"
    r"|fabricad[oa]s? (?:de|en|con|em)|(?:fatt|realizzat|lavorat)[oaie] (?:di|in|con)|è (?:di|in)|feit[oa]s? (?:de|em)"
    r"|(?:é|são) de|gemaakt van|(?:is|zijn) van)\s((?:[\w'’-]{1,30}\s){0,2}[\w-]{1,30})",
    re.I,
)
NAMES = """
stoneware steinzeug steingut grès gres grés steengoed
porcelain porzellan porcelaine porcelana porcellana porselein
glass glas verre vidrio cristal vetro vidro
cotton baumwolle coton algodón cotone algodão katoen
wool wolle laine lana merino lã wol schurwolle
linen leinen lin lino linho linnen
silk seide soie seda seta zijde
leather leder cuir cuero piel cuoio pelle couro leer
polyester poliestere poliéster
nylon polyamid polyamide poliammide poliamida
oak eiche eichenholz chêne roble rovere quercia carvalho eiken
beech buche hêtre haya faggio faia beuken
walnut nussbaum noyer nogal noce nogueira
bamboo bambus bambou bambú bambù bamboe
titanium titan titane titanio titânio titaan
steel stahl edelstahl acier acero acciaio aço staal
aluminium aluminum alu aluminio alluminio alumínio
brass messing laiton latón ottone latão
copper kupfer cuivre cobre rame koper
silver silber argent plata argento prata zilver
gold or oro ouro goud
plastic kunststoff plastique plástico plastica
silicone silikon silicona siliconen
rubber gummi caoutchouc caucho gomma borracha
marble marmor marbre mármol marmo mármore marmer
"""
MATERIALS = {word: material for material in NAMES.splitlines() for word in material.split()}
AMBIGUOUS = frozenset(
    {"or", "lin", "piel", "argent", "gold", "silver", "glass", "glas", "verre", "pelle", "noce", "leer", "seta"}
)
WITHIN = 4  # a name with more letters is also found inside a longer word
LANGUAGES = frozenset({"en", "de", "fr", "es", "it", "pt", "nl"})  # whose words for materials are in NAMES


def material_unknown(text: str, context: PostContext) -> str:
    """Return the first statement of a material that the source does not name in any language."""
    return first_unknown(materials(text, context))


def materials(text: str, context: PostContext) -> Iterator[Claim]:
    """Yield each material that the text states for the product."""
    statements = [found for sentence in about(text, context) for found in matches(MADE_OF, sentence)]
    if not statements:
        return
    named = _named(context.facts)
    described = re.findall(r"\w+", str(context.source.get("description") or "").casefold())
    if not named and most_likely_language(described) not in LANGUAGES:
        return
    for found in statements:
        for word in re.findall(r"\w+", found[1].casefold()):
            if word not in AMBIGUOUS and word in MATERIALS:
                yield Claim(found[0], MATERIALS[word] in named)


def _named(facts: str) -> set[str]:
    """Return the materials in a text, also within longer words: `Schurwolle` is wool."""
    words = set(re.findall(r"\w+", facts))
    return {material for word, material in MATERIALS.items() if word in words or (len(word) > WITHIN and word in facts)}
