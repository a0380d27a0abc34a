"""Facts that a post tells of a product, held against its source: prices, measures, counts; `materials` has those.

General advice has numbers of its own (times, temperatures, common sizes), so a measure counts only in a sentence that
names the product, or in the one behind it that goes on with `it`. A price counts everywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from blogworker.post.defects.kind import Known
from blogworker.post.defects.repeats import main_name
from blogworker.post.defects.sentences import sentences

AMOUNT = r"\d{1,9}(?:[.,'’\u00a0\u202f ]\d{3}(?!\d)){0,3}(?:[.,]\d{1,2}(?!\d))?"
CURRENCIES = {
    "EUR": r"€|\bEUR\b|\beuros?\b", "USD": r"US\$|\$|\bUSD\b|\b(?:US[ -]?)?dollars?\b|\bdólares\b|\bDollar\b",
    "GBP": r"£|\bGBP\b|\bpounds? sterling\b", "CHF": r"\bCHF\b|\bFranken\b", "PLN": r"\bzł|\bPLN\b",
    "SEK": r"\bSEK\b|\bkronor\b", "JPY": r"¥|\bJPY\b|\byen\b", "INR": r"₹|\bINR\b",
}  # fmt: skip
SIGNS = "|".join(CURRENCIES.values())
PRICE = re.compile(rf"(?:(?P<before>{SIGNS})\s?(?P<a>{AMOUNT}))|(?<![\w.,])(?P<b>{AMOUNT})\s?(?P<behind>{SIGNS})", re.I)
DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"})
BOUND = re.compile(
    r"\b(?:under|below|less than|up to|over|above|more than|unter|weniger als|bis|über|mehr als|moins de"
    r"|plus de|jusqu'à"
    r"|menos de|más de|hasta|sous les|meno di|più di|fino a|oltre|sotto i|até|mais de|minder dan|meer dan"
    r"|tot)\s*(?:[€$£]\s?)?$",
    re.I,
)
UNITS = {  # of a unit: its kind, and how many of the base unit it is
    "mm": ("length", 0.001), "cm": ("length", 0.01), "m": ("length", 1.0), "inch": ("length", 0.0254),
    "inches": ("length", 0.0254), "in": ("length", 0.0254), "zoll": ("length", 0.0254), "pouces": ("length", 0.0254),
    "pulgadas": ("length", 0.0254), "ft": ("length", 0.3048), "feet": ("length", 0.3048),
    "centimetres": ("length", 0.01), "centimeters": ("length", 0.01), "zentimeter": ("length", 0.01),
    "centimètres": ("length", 0.01), "centímetros": ("length", 0.01), "millimetres": ("length", 0.001),
    "g": ("mass", 0.001), "kg": ("mass", 1.0), "oz": ("mass", 0.02835), "ounces": ("mass", 0.02835),
    "lb": ("mass", 0.4536), "lbs": ("mass", 0.4536), "pounds": ("mass", 0.4536), "gramm": ("mass", 0.001),
    "grams": ("mass", 0.001), "grammes": ("mass", 0.001), "gramos": ("mass", 0.001), "kilo": ("mass", 1.0),
    "ml": ("volume", 0.001), "cl": ("volume", 0.01), "l": ("volume", 1.0), "litre": ("volume", 1.0),
    "litres": ("volume", 1.0), "liter": ("volume", 1.0), "liters": ("volume", 1.0), "litros": ("volume", 1.0),
    "millilitres": ("volume", 0.001), "milliliter": ("volume", 0.001),
    "w": ("power", 1.0), "watt": ("power", 1.0), "watts": ("power", 1.0), "v": ("voltage", 1.0),
    "volt": ("voltage", 1.0), "mah": ("charge", 1.0), "psi": ("pressure", 1.0), "bar": ("pressure", 14.5),
    "centimetri": ("length", 0.01), "centimeter": ("length", 0.01), "pollici": ("length", 0.0254),
    "polegadas": ("length", 0.0254), "grammi": ("mass", 0.001), "gramas": ("mass", 0.001), "gram": ("mass", 0.001),
    "chilo": ("mass", 1.0), "chili": ("mass", 1.0), "quilo": ("mass", 1.0), "quilos": ("mass", 1.0),
    "litri": ("volume", 1.0), "litro": ("volume", 1.0), "lumen": ("light", 1.0), "lúmenes": ("light", 1.0),
    "lúmens": ("light", 1.0), "gsm": ("density", 1.0), "%": ("share", 1.0),
}  # fmt: skip
UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
MEASURE = re.compile(
    rf"(?<![\w.,])(\d{{1,9}}(?:[.,]\d{{1,6}})?)[\s\u00a0-]?({UNIT})(?!\w)",
    re.I,
)
NEAR = 0.03  # of a measure: rounding in another unit
GOES_ON = re.compile(
    r"(?:It|Its|They|Er|Sie|Es|Seine?|Ihre?|Il|Elle|Son|Sa|Su|Pesa|Mide|È|Misura|Contiene|Ele|Ela|Mede|Leva|Het|Hij|Zijn)\b"
)
OTHERS = {  # of a language: words of a sentence that compares, or tells of a case
    "en": r"most|other|usual|ordinary|typical|(?<!more )than|compared|unlike|if|for example",
    "de": r"andere[nmrs]?|übliche[nmrs]?|(?<!mehr )als|statt|wenn", "fr": r"autres?|que|si", "es": r"otr[oa]s?|que|si",
    "it": r"altr[oaie]|che|rispetto|se",
    "pt": r"outr[oa]s?|que|quando|(?<!-)se", "nl": r"andere|gewone|(?<!meer )dan|als",
}  # fmt: skip
COMPARED = {tag: re.compile(rf"(?<!\w)(?:{words})\b", re.I) for tag, words in OTHERS.items()}
COMPARED[""] = re.compile(rf"\b(?:{'|'.join(OTHERS[tag] for tag in ('en', 'de', 'fr', 'es'))})\b", re.I)
NUMBER = re.compile(r"\d[\d.,'’\u00a0\u202f]*")
NUMERALS = {  # in the seven languages
    word: number
    for number, words in {
        2: "two zwei deux dos due dois duas twee", 3: "three drei trois tres tre três drie",
        4: "four vier quatre cuatro quattro quatro", 5: "five fünf cinq cinco cinque vijf", 6: "six sechs seis sei zes",
        7: "seven sieben sept siete sette sete zeven", 8: "eight acht huit ocho otto oito",
        9: "nine neun neuf nueve nove negen", 10: "ten zehn dix diez dieci dez tien",
        12: "twelve zwölf douze doce dodici doze twaalf",
    }.items()
    for word in words.split()
}  # fmt: skip
FACTS_KEPT = 32  # sources whose facts are remembered: each is asked for by every field of a post
SHORT = 3  # letters of a numeral that other words begin with: `sei`, `due`, `tre`
COUNTED = "|".join(NUMERALS)
SET = re.compile(
    rf"\b(?:sets?|packs?|boxe?s?|pairs?|pieces?|lot|jeu|coffret|juego|paquete|pack|caja|confezione|conjunto|kit|pacote|pak|doos)\s(?:of|de|von|mit"
    rf"|à|di|da|van|com)\s(\d{{1,3}}|{COUNTED})\b"
    rf"|\b(\d{{1,3}}|{COUNTED})(?:er|-teilig\w*|teilig\w*)?[ -]?(?:pack|piece set|set|stück|pièces|piezas"
    rf"|pieces|pezzi|peças|stuks)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A fact that a text states, and whether the source holds it."""

    told: str
    held: bool


def price_unknown(text: str, known: Known) -> str:
    """The first price that the source does not hold, or whose currency it does not."""
    return first_unknown(prices(text, known))


def measure_unknown(text: str, known: Known) -> str:
    """The first measure of the product that the source does not hold, in no unit."""
    return first_unknown(measures(text, known))


def count_unknown(text: str, known: Known) -> str:
    return first_unknown(counts(text, known))


def first_unknown(claims: Iterator[Claim]) -> str:
    return next((claim.told for claim in claims if not claim.held), "")


def prices(text: str, known: Known) -> Iterator[Claim]:
    """Each price, and whether the source holds it in this currency."""
    if known.source.get("kind") not in ("product", "text"):
        return
    held = numbers_in(known.facts)
    for found in PRICE.finditer(text):
        bound = bool(BOUND.search(text[max(0, found.start() - 30) : found.start()]))
        is_held = _is_held(found["a"] or found["b"], held, bound=bound)
        yield Claim(found[0].strip(), is_held and _currency_held(found["before"] or found["behind"], known))


def _is_held(amount: str, held: frozenset[float], *, bound: bool) -> bool:
    values = set(_readings(amount))
    if values & held:
        return True
    whole = {value for value in values if value == int(value)}
    near = any(abs(value - price) < 1 for value in whole for price in held)  # 29.99 is about 30
    return near or (bound and any(0.7 * value <= price <= 1.3 * value for value in values for price in held))


def _currency_held(sign: str, known: Known) -> bool:
    stated = str(known.source.get("currency") or "").strip()
    code = next(code for code, pattern in CURRENCIES.items() if re.fullmatch(pattern, sign, re.I))
    if stated:
        return (
            stated.upper() == code
            or bool(re.fullmatch(CURRENCIES[code], stated, re.I))
            or (code == "USD" and stated.upper() in DOLLARS)
        )
    return bool(re.search(CURRENCIES[code], known.facts, re.I))


def measures(text: str, known: Known) -> Iterator[Claim]:
    held = {measure for found in MEASURE.finditer(known.facts) if (measure := _measure(found))}
    numbers = numbers_in(known.facts)
    for sentence in about(text, known):
        for found in MEASURE.finditer(sentence):
            kind, size = _measure(found)
            near = any(kind == other and abs(size - value) <= NEAR * value for other, value in held)
            yield Claim(found[0], near or bool(set(_readings(found[1])) & numbers))


def counts(text: str, known: Known) -> Iterator[Claim]:
    numbers = numbers_in(known.facts) | {
        float(n)
        for word, n in NUMERALS.items()
        if re.search(rf"\b{word}" if len(word) > SHORT else rf"\b{word}\b", known.facts)
    }
    for sentence in about(text, known):
        for found in SET.finditer(sentence):
            counted = (found[1] or found[2]).casefold()
            yield Claim(found[0], float(NUMERALS.get(counted, counted)) in numbers)


def about(text: str, known: Known) -> tuple[str, ...]:
    """The sentences that tell of the product itself. One that compares it with others, or tells of a case, does not."""
    if text not in known.about:
        known.about[text] = tuple(_about(text, known))
    return known.about[text]


def _about(text: str, known: Known) -> Iterator[str]:
    if known.source.get("kind") != "product" or not (name := main_name(known).casefold()):
        return
    compares = COMPARED.get(known.language, COMPARED[""])
    for paragraph in known.read(text).split("\n"):
        told = False
        for sentence in sentences(paragraph) if name in paragraph.casefold() else ():
            told = name in sentence.casefold() or (told and bool(GOES_ON.match(sentence)))
            if told and not compares.search(sentence):
                yield sentence


def _measure(found: re.Match[str]) -> tuple[str, float]:
    kind, size = UNITS[found[2].casefold()]
    return kind, float(found[1].replace(",", ".")) * size


def _numbers(text: str) -> Iterator[float]:
    for found in NUMBER.finditer(text):
        yield from _readings(found[0])


@lru_cache(maxsize=FACTS_KEPT)
def numbers_in(facts: str) -> frozenset[float]:
    return frozenset(_numbers(facts))


@lru_cache(maxsize=FACTS_KEPT)
def _in_words(facts: str) -> frozenset[float]:
    words = {word: word if len(word) > SHORT else rf"{word}\b" for word in NUMERALS}
    return frozenset(float(NUMERALS[word]) for word, pattern in words.items() if re.search(rf"\b{pattern}", facts))


def _readings(number: str) -> Iterator[float]:
    """A number as it may be meant: `1.299` is one thousand and more, or one and a bit."""
    digits = re.sub(r"['’\u00a0\u202f ]", "", number).strip(".,")[:30]
    for decimal, group in ((".", ","), (",", ".")):
        read = digits.replace(group, "").replace(decimal, ".")
        if read.count(".") <= 1 and read.strip("."):
            yield float(read)
