"""Finds statements that need a source: awards, ratings, guarantees, studies and quotations.

In English, German, French, Spanish, Italian, Portuguese and Dutch. If the source has a statement of the same kind, the
post may have one too; whether both agree is not checked.
"""

import re
from collections.abc import Iterable

from blogworker.post.defects.claims import about
from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.defects.sentences import sentences

NEAR = r"[^.!?\n]{0,60}?"
AWARD = re.compile(
    rf"""\b(?:award|prize)[- ]winning\b | \b(?:won|winner\ of|received|earned)\b{NEAR}\b(?:awards?|prizes?|medals?)\b
    | \bpreisgekrönt\w* | \b(?:wurde|wurden|ist|sind)\b{NEAR}\bmit\b{NEAR}\bausgezeichnet\b
    | preis(?:es)?\ (?:gewonnen|erhalten)\b
    | \ba\ (?:reçu|remporté|obtenu|gagné)\b{NEAR}\b(?:prix|médaille|label)\b | \blauréate?\b | \bprimée?s?\b
    | \b(?:ganó|recibió|obtuvo|ha\ ganado|ha\ recibido)\b{NEAR}\b(?:premio|medalla|galardón)\b
    | \b(?:premi|galardon|pluripremi)ad[oa]s?\b
    | \bha\ (?:vinto|ricevuto|ottenuto)\b{NEAR}(?:premio|medaglia|compasso|riconoscimento) | \b(?:pluri)?premiat[oaie]\b
    | \b(?:ganhou|recebeu|venceu)\b{NEAR}\b(?:prémio|prêmio|medalha)\b
    | \b(?:won|kreeg|ontving)\b{NEAR}\b\w*prijs\b | \bbekroond\b | \bprijswinnende?\b""",
    re.I | re.X,
)
PEOPLE = (
    r"(?:customers?|buyers?|users?|reviews?|kund(?:en|innen)|käufer\w*|bewertungen|clients?|clientes|acheteurs|avis"
    r"|opiniones|reseñas|clienti|recensioni|avaliações|klanten|beoordelingen)"
)
RATING = re.compile(
    rf"""\b[1-5](?:[.,]\d)?\s(?:out\ of|of|von|sur|de|su|em|van)\s(?:5|10|five|fünf|cinq|cinco|cinque|vijf)\b
    | \b[1-5](?:[.,]\d)?[\s-](?:stars?|sterne?n?|étoiles?|estrellas?|stelle|estrelas?|sterren)\b
    | \b\d{{1,3}}(?:[.,\s]?\d{{3}}){{1,3}}\+?\s(?:\w+\s){{0,2}}?{PEOPLE}\b | \b\d{{3,}}\+?\s(?:\w+\s){{0,2}}?{PEOPLE}\b
    | \b(?:thousands|hundreds)\ of\s(?:\w+\s){{0,2}}?{PEOPLE}\b
    | \b(?:tausende|hunderte)\w*\s(?:\w+\s){{0,2}}?{PEOPLE}\b
    | \b(?:milliers|miles|migliaia|milhares|duizenden)\s(?:de|di|d')?\s?(?:\w+\s){{0,2}}?{PEOPLE}\b""",
    re.I | re.X,
)
GUARANTEE = re.compile(
    r"""\b(?:\w+[- ]years?|lifetime|lifelong|full)\s(?:guarantee|warranty)\b
    | \b(?:guaranteed|warranty)\ for\b | \bmoney[- ]back\b
    | \bfree\ (?:shipping|delivery|returns?)\b | \b(?:ships|delivered|arrives)\ (?:within|in)\ \w+\ (?:hours|days)\b
    | \bjahre?\ garantie\b | \blebenslange\ garantie\b | \bgeld[- ]zurück\b | \bversandkostenfrei\w*
    | \bkostenlose[rmns]?\ (?:versand|lieferung|rück\w+)
    | \bgaranti\w*\s(?:\w+\s)?(?:ans|an|à\ vie)\b | \bans\ de\ garantie\b | \bsatisfait\ ou\ remboursé
    | \b(?:livraison|retours?)\b\s(?:\w+\s)?(?:gratuit|offert)\w*
    | \baños\ de\ garantía\b | \bgarantía\ (?:de\ por\ vida|de\ \w+\ años)\b | \benvío\s(?:\w+\s)?(?:gratis|gratuito)\b
    | \banni\ di\ garanzia\b | \bgaranzia\ (?:a\ vita|di\ \w+\ anni)\b | \bspedizione\s(?:\w+\s)?(?:gratuita|gratis)\b
    | \banos\ de\ garantia\b | \bgarantia\ (?:vitalícia|de\ \w+\ anos)\b
    | \b(?:envio|frete|entrega)\s(?:\w+\s)?(?:grátis|gratuit[oa])\b
    | \bjaar\ garantie\b | \bgratis\ (?:verzending|bezorging|retour\w*)\b""",
    re.I | re.X,
)
STUDY = re.compile(
    r"""\baccording\ to\ (?:an?\ |the\ |one\ )?(?:\w+\ )?(?:study|survey|poll|researchers?|research)\b
    | \b(?:studies|surveys)\ (?:show|have\ shown|suggest|prove)\b | \bresearch\ (?:shows|has\ shown|suggests|proves)\b
    | \ba\ (?:recent\ |\d{4}\ )?(?:study|survey)\ (?:by|from|of|in|found|shows|showed)\b
    | \b(?:laut|nach|gemäß)\ einer?\ (?:\w+\ )?(?:studie|umfrage|untersuchung)\b
    | \b(?:studien|umfragen)\ (?:zeigen|belegen|beweisen)\b
    | \b(?:selon|d['’]après)\ une\ (?:\w+\ )?(?:étude|enquête)\b | \b(?:les|des)\ études\ (?:montrent|prouvent)\b
    | \bsegún\ (?:un|una)\ (?:\w+\ )?(?:estudio|encuesta)\b | \b(?:los\ )?estudios\ (?:muestran|demuestran)\b
    | \bsecondo\ (?:uno|una|un)\ (?:\w+\ )?(?:studio|sondaggio|ricerca|indagine)\b
    | \bgli\ studi\ (?:mostrano|dimostrano)\b
    | \bsegundo\ (?:um|uma)\ (?:\w+\ )?(?:estudo|pesquisa|inquérito)\b | \b(?:os\ )?estudos\ (?:mostram|comprovam)\b
    | \bvolgens\ (?:een\ )?(?:\w+\ )?(?:studie|onderzoek|enquête)\b | \bonderzoek\ toont\b""",
    re.I | re.X,
)
SAYS = (
    r"says|said|explains|recalls|writes|sagt|sagte|erklärt|meint|berichtet|erzählt|schreibt|dit|explique|confie|raconte"
    r"|affirme|dice|explica|cuenta|afirma|comenta|racconta|spiega|diz|conta|zegt|vertelt"
)
SPEAKS = re.compile(rf"[”“»\"]\s?,?\s?(?:{SAYS})\s((?:[^\W\d_]+\s?){{1,2}})", re.I)


def award_unknown(text: str, context: PostContext) -> str:
    return _unknown(AWARD, context, about(text, context))


def rating_unknown(text: str, context: PostContext) -> str:
    return _unknown(RATING, context, about(text, context))


def guarantee_unknown(text: str, context: PostContext) -> str:
    return _unknown(GUARANTEE, context, about(text, context))


def study_unknown(text: str, context: PostContext) -> str:
    return _unknown(STUDY, context, (text,))


def quotation_unknown(text: str, context: PostContext) -> str:
    """Return the attribution of a quotation to a person whom the source does not name."""
    for sentence in sentences(text) if SPEAKS.search(text) else ():
        found = SPEAKS.search(sentence)
        if found and not context.source_has(found[1].strip()):
            return found[0].strip()
    return ""


def _unknown(pattern: re.Pattern[str], context: PostContext, texts: Iterable[str]) -> str:
    found = next((found[0][0] for text in texts if (found := matches(pattern, text))), "")
    return "" if found and matches(pattern, context.facts) else found
