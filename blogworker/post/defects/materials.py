"""What a product is said to be made of, held against its source, in the seven languages that `NAMES` has."""

import re
from collections.abc import Iterator

from blogworker.post.defects.claims import Claim, about, first_unknown
from blogworker.post.defects.kind import Known
from blogworker.post.language import likeliest

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
WITHIN = 4  # letters of a name that is looked for inside of others
JUDGED = frozenset({"en", "de", "fr", "es", "it", "pt", "nl"})  # languages whose words for materials are known


def material_unknown(text: str, known: Known) -> str:
    """The first material that the product is said to be made of and that its source does not name, in any language."""
    return first_unknown(materials(text, known))


def materials(text: str, known: Known) -> Iterator[Claim]:
    """Each material that the product is said to be made of."""
    said = [found for sentence in about(text, known) for found in MADE_OF.finditer(sentence)]
    if not said:
        return
    named = _named(known.facts)
    described = re.findall(r"\w+", str(known.source.get("description") or "").casefold())
    if not named and likeliest(described) not in JUDGED:
        return
    for found in said:
        for word in re.findall(r"\w+", found[1].casefold()):
            if word not in AMBIGUOUS and word in MATERIALS:
                yield Claim(found[0], MATERIALS[word] in named)


def _named(facts: str) -> set[str]:
    """Also within a longer word: `Schurwolle` is wool."""
    told = set(re.findall(r"\w+", facts))
    return {material for word, material in MATERIALS.items() if word in told or (len(word) > WITHIN and word in facts)}
