"""Compares the prices, measures and counts that a post states with the source. `materials` compares materials.

General advice contains other numbers (times, temperatures, common sizes). So a measure is checked only in a sentence
that names the product, or in the next one if it continues with a word such as `it`. A price is checked everywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.defects.sentences import sentences

AMOUNT = r"\d{1,9}(?:[.,'’\u00a0\u202f ]\d{3}(?!\d)){0,3}(?:[.,]\d{1,2}(?!\d))?"
CURRENCIES = {
    "EUR": r"€|\bEUR\b|\beuros?\b", "USD": r"US\$|\$|\bUSD\b|\b(?:US[ -]?)?dollars?\b|\bdólares\b|\bDollar\b",
    "GBP": r"£|\bGBP\b|\bpounds? sterling\b", "CHF": r"\bCHF\b|\bFranken\b", "PLN": r"\bzł|\bPLN\b",
    "SEK": r"\bSEK\b|\bkronor\b", "JPY": r"¥|\bJPY\b|\byen\b", "INR": r"₹|\bINR\b",
}  # fmt: skip
FORMS = [form for pattern in CURRENCIES.values() for form in pattern.split("|")]
SIGNS = "|".join(form for form in FORMS if not form.startswith(r"\b"))
WORDS = "|".join(form.removeprefix(r"\b") for form in FORMS if form.startswith(r"\b"))
CURRENCY = rf"{SIGNS}|\b(?:{WORDS})"  # most places of a text are not the start of a word
PRICE = re.compile(
    rf"(?:(?P<before>{CURRENCY})\s?(?P<a>{AMOUNT}))|(?<![\w.,])(?P<b>{AMOUNT})\s?(?P<behind>{CURRENCY})", re.I
)
DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"})
BOUND = re.compile(
    r"\b(?:under|below|less than|up to|over|above|more than|unter|weniger als|bis|über|mehr als|moins de"
    r"|plus de|jusqu'à"
    r"|menos de|más de|hasta|sous les|meno di|più di|fino a|oltre|sotto i|até|mais de|minder dan|meer dan"
    r"|tot)\s*(?:[€$£]\s?)?$",
    re.I,
)
UNITS = {  # unit -> kind, and its size in the base unit
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
NEAR = 0.03  # share of a measure: the tolerance for rounding in another unit
CONTINUES = re.compile(
    r"(?:It|Its|They|Er|Sie|Es|Seine?|Ihre?|Il|Elle|Son|Sa|Su|Pesa|Mide|È|Misura|Contiene|Ele|Ela|Mede|Leva|Het|Hij|Zijn)\b"
)
COMPARING = {  # language -> words of a sentence that compares the product, or describes a hypothetical case
    "en": r"most|other|usual|ordinary|typical|(?<!more )than|compared|unlike|if|for example",
    "de": r"andere[nmrs]?|übliche[nmrs]?|(?<!mehr )als|statt|wenn", "fr": r"autres?|que|si", "es": r"otr[oa]s?|que|si",
    "it": r"altr[oaie]|che|rispetto|se",
    "pt": r"outr[oa]s?|que|quando|(?<!-)se", "nl": r"andere|gewone|(?<!meer )dan|als",
}  # fmt: skip
COMPARED = {tag: re.compile(rf"(?<!\w)(?:{words})\b", re.I) for tag, words in COMPARING.items()}
COMPARED[""] = re.compile(rf"\b(?:{'|'.join(COMPARING[tag] for tag in ('en', 'de', 'fr', 'es'))})\b", re.I)
PRICE_FIELD = re.compile(r'"(?:compare_at_)?price(?:_max)?": (?:"[^"]*"|[\d.]+)')
NUMBER = re.compile(r"\d[\d.,'’\u00a0\u202f]*")
# Numbers by their group sign. Three digits stand behind the last sign, two or three behind others (1,50,000 in India).
WRITTEN = {
    ",": re.compile(r"(?:\d+(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d+)?"),
    ".": re.compile(r"(?:\d+(?:\.\d{2,3})*\.\d{3}|\d+)(?:,\d+)?"),
}
NUMERALS = {  # in seven languages
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
FACTS_CACHED = 32  # sources whose facts are cached, because each field of a post needs them
SHORT = 3  # letters of a numeral that other words may begin with: `sei`, `due`, `tre`
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
    """A fact that a text states."""

    text: str
    in_source: bool


def price_unknown(text: str, context: PostContext) -> str:
    """Return the first price whose amount or currency is not in the source."""
    return first_unknown(prices(text, context))


def measure_unknown(text: str, context: PostContext) -> str:
    """Return the first measure of the product that is not in the source in any unit."""
    return first_unknown(measures(text, context))


def count_unknown(text: str, context: PostContext) -> str:
    return first_unknown(counts(text, context))


def first_unknown(claims: Iterator[Claim]) -> str:
    return next((claim.text for claim in claims if not claim.in_source), "")


def prices(text: str, context: PostContext) -> Iterator[Claim]:
    """Yield each price. It is in the source if both its amount and its currency are."""
    if context.source.get("kind") not in ("product", "text"):
        return
    known = _prices_in(context)
    for found in matches(PRICE, text):
        is_bound = bool(BOUND.search(text[max(0, found.start() - 30) : found.start()]))
        in_source = _is_amount_in_source(found["a"] or found["b"], known, is_bound=is_bound)
        in_source = in_source and _is_currency_in_source(found["before"] or found["behind"], context)
        yield Claim(found[0].strip(), in_source)


def _is_amount_in_source(amount: str, known: frozenset[float], *, is_bound: bool) -> bool:
    values = set(_readings(amount))
    if values & known:
        return True
    whole = {value for value in values if value == int(value)}
    near = any(abs(value - price) < 1 for value in whole for price in known)  # 29.99 is about 30
    return near or (is_bound and any(0.7 * value <= price <= 1.3 * value for value in values for price in known))


def _is_currency_in_source(symbol: str, context: PostContext) -> bool:
    stated = str(context.source.get("currency") or "").strip()
    code = next(code for code, pattern in CURRENCIES.items() if re.fullmatch(pattern, symbol, re.I))
    if stated:
        return (
            stated.upper() == code
            or bool(re.fullmatch(CURRENCIES[code], stated, re.I))
            or (code == "USD" and stated.upper() in DOLLARS)
        )
    return bool(re.search(CURRENCIES[code], context.facts, re.I))


def measures(text: str, context: PostContext) -> Iterator[Claim]:
    known = {measure for found in MEASURE.finditer(context.facts) if (measure := _measure(found))}
    bare = _bare_numbers(_without_prices(context))
    for sentence in about(text, context):
        for found in MEASURE.finditer(sentence):
            kind, size = _measure(found)
            near = any(kind == other and abs(size - value) <= NEAR * value for other, value in known)
            yield Claim(found[0], near or bool(set(_readings(found[1])) & bare))


def counts(text: str, context: PostContext) -> Iterator[Claim]:
    """Yield each number of pieces. A number that the source states only as a measure or a price is not a count."""
    numbers = _piece_counts(_without_prices(context))
    for sentence in about(text, context):
        for found in matches(SET, sentence):
            number = (found[1] or found[2]).casefold()
            yield Claim(found[0], float(NUMERALS.get(number, number)) in numbers)


def about(text: str, context: PostContext) -> tuple[str, ...]:
    """Return the sentences about the product itself, without those that compare it or describe a hypothetical case."""
    if text not in context.about:
        context.about[text] = tuple(_about(text, context))
    return context.about[text]


def _about(text: str, context: PostContext) -> Iterator[str]:
    if context.source.get("kind") != "product" or not (name := context.main_name.casefold()):
        return
    compares = COMPARED.get(context.language, COMPARED[""])
    for paragraph in context.text_of(text).split("\n"):
        is_about = False
        for sentence in sentences(paragraph) if name in paragraph.casefold() else ():
            is_about = name in sentence.casefold() or (is_about and bool(CONTINUES.match(sentence)))
            if is_about and not matches(compares, sentence):
                yield sentence


def _measure(found: re.Match[str]) -> tuple[str, float]:
    kind, size = UNITS[found[2].casefold()]
    return kind, float(found[1].replace(",", ".")) * size


def _numbers(text: str) -> Iterator[float]:
    for found in NUMBER.finditer(text):
        yield from _readings(found[0])


@lru_cache(maxsize=FACTS_CACHED)
def numbers_in(facts: str) -> frozenset[float]:
    return frozenset(_numbers(facts))


@lru_cache(maxsize=FACTS_CACHED)
def _piece_counts(facts: str) -> frozenset[float]:
    """Return the numbers, in digits or words, that are neither measures nor prices."""
    words = {word: word if len(word) > SHORT else rf"{word}\b" for word in NUMERALS}
    written = {float(NUMERALS[word]) for word, pattern in words.items() if re.search(rf"\b{pattern}", facts)}
    return _bare_numbers(facts) | written


def _prices_in(context: PostContext) -> frozenset[float]:
    """Return the prices of the source, and its numbers without a unit, which may be prices."""
    return numbers_in(MEASURE.sub(" ", context.facts))


@lru_cache(maxsize=FACTS_CACHED)
def _bare_numbers(facts: str) -> frozenset[float]:
    """Return the numbers that stand in no measure and in no price."""
    return numbers_in(PRICE.sub(" ", MEASURE.sub(" ", facts)))


def _without_prices(context: PostContext) -> str:
    """Return the facts without the fields that are prices: their numbers are no measures and no counts."""
    return PRICE_FIELD.sub("", context.facts)


def _readings(number: str) -> Iterator[float]:
    """Yield the possible values of a number: `1.299` is 1299 in some countries, and 1.299 in others."""
    digits = re.sub(r"['’\u00a0\u202f ]", "", number).strip(".,")[:30]
    read = [
        float(digits.replace(group, "").replace(",", "."))
        for group, pattern in WRITTEN.items()
        if pattern.fullmatch(digits)
    ]
    yield from read or map(float, re.findall(r"\d+", digits))  # a list without blanks: `10,20,30`
