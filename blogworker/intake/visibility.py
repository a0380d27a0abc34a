"""Whether a product is visible in its shop, by the columns and words of many shops.

There are four kinds of columns: yes means visible (`visible`), yes means hidden (`hidden`), a word (`status`), or the
time from which the product is visible. A word means the same in every column. An unknown word is a fault, so that no
post is written about a product that nobody can buy. Columns that only a rule has found may be about something else, so
their unknown words and times are ignored.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache

from blogworker.intake.table import APART, BadCell, spelled
from blogworker.intake.times import NO_DATE, times
from blogworker.intake.words import NEGATIONS, NO, SHOWN, STATES, YES

OF_MAGENTO = ("attributeset", "attributesetcode", "attributesetname")  # its visibility 1 is "not visible individually"
COLUMNS = {  # our name -> spellings in a header
    "status": ("status", "productstatus", "poststatus", "itemstatus", "listingstatus", "statut", "estado", "stato"),
    "published": (
        "published", "publishedononlinestore", "ispublished", "productispublished", "productpublished",
        "veroffentlicht", "publie", "publicado", "publicada", "pubblicato", "gepubliceerd", "opublikowany",
    ),
    "visible": (
        "visible", "isvisible", "productvisible", "visibleonstorefront", "visibleinstore", "visibleonline",
        "showonsite", "sichtbar", "visivel", "visibile", "zichtbaar", "widoczny", "synlig",
    ),
    "visibility": (
        "visibility", "productvisibility", "itemvisibility", "squareonlineitemvisibility", "catalogvisibility",
        "visibilityincatalog", "visibilityincatalogue", "visibilityinthecatalog", "sichtbarkeit",
        "sichtbarkeitimkatalog", "visibilite", "visibilitedanslecatalogue", "visibiliteducatalogue", "visibilidad",
        "visibilidadenelcatalogo", "visibilidaddelcatalogo", "visibilita", "visibilitanelcatalogo", "zichtbaarheid",
        "zichtbaarheidincatalogus",
    ),
    "active": (
        "active", "active01", "isactive", "enabled", "enabled01", "isenabled", "productonline", "online", "aktiv",
        "aktiv01", "aktiviert", "actif", "actif01", "active01", "activo", "activo01", "activado", "attivo",
        "attivo01", "actief", "actief01", "ativo", "ativo01", "aktywny",
    ),
    "hidden": (
        "hidden", "ishidden", "hideproduct", "hidefromstore", "versteckt", "ausgeblendet", "verborgen", "masque",
        "cache", "oculto", "nascosto",
    ),
    "archived": ("archived", "isarchived", "archiviert", "archive", "archivado", "archiviato", "gearchiveerd"),
    "draft": ("draft", "isdraft", "entwurf", "brouillon", "borrador", "bozza"),
    "unlisted": ("unlisted", "isunlisted"),
    "inactive": (
        "disabled", "isdisabled", "inactive", "isinactive", "deleted", "isdeleted", "deaktiviert", "desactive",
        "desactivado",
    ),
    "magento": OF_MAGENTO,
    "published_at": (
        "publishedat", "publishat", "publishon", "publishdate", "publisheddate", "datepublished", "publicationdate",
        "availablefrom", "activefrom", "visiblefrom", "onlinefrom", "dateavailable", "veroffentlichtam",
        "veroffentlichungsdatum", "sichtbarab", "datedepublication", "publiele", "fechadepublicacion",
    ),
    "found_visible": (),  # by the rule of `column`
    "found_hidden": (),
}  # fmt: skip
STATED = tuple(name for name in COLUMNS if not name.startswith("found"))  # rows of one product agree in them
# A header in no list is about visibility if it consists of these words only, with at least one of the first two kinds:
# `Show in store` and `Produktstatus`, but not `Show price` or `Order status`.
OF_VISIBLE = (
    "publish(?:ed)?|publication|publie|publiee?s?|publicad[oa]|publicacao|publicacion|pubblicat[oa]|veroffentlicht|"
    "gepubliceerd|visib(?:le|ile|ilite|ility|ilita|ilidade?)|visivel|sichtbar(?:keit)?|zichtbaar(?:heid)?|show|shown|"
    "displayed|live|online|availableforsale|activ[eo]|aktiv|actif|ativo|attivo|actief|enabled|stat(?:us|ut|e|o)|etat|"
    "estado"
)
OF_HIDDEN = "hide|hidden|discontinued|unpublished|disabled|inactive|archived|deleted|versteckt|verborgen|masque|oculto"
AROUND = (
    "products?|produkt|produits?|produt[oa]s?|productos?|prodott[oi]|artikels?|articulo|article|item|listing|is|in|on|"
    "the|of|from|for|im|auf|der|des|dem|du|de|del|dans|sur|le|la|el|en|no|na|nel|il|shop|store|storefront|web|site|"
    "katalog|catalog(?:ue|o|us)?"
)
HEADER = re.compile(f"(?:(?P<shown>{OF_VISIBLE})|(?P<hidden>{OF_HIDDEN})|{AROUND})+")
HEADER_LONGEST = 60
MEANS = {  # of a "no"
    "published": "unpublished", "visible": "hidden", "visibility": "hidden", "active": "inactive",
    "found_visible": "hidden",
}  # fmt: skip
INVERSE = {  # columns whose "yes" is the reason
    name: name for name in ("hidden", "archived", "draft", "unlisted", "inactive")
} | {"found_hidden": "hidden"}
NUMBERED: dict[str, dict[str, str | None]] = {  # Magento: status 1 enabled, 2 disabled; visibility 2 to 4 visible
    "status": {"2": "inactive"},
    "active": {"2": "inactive"},
    "visibility": {"2": None, "3": None, "4": None},
}
BELOW_ZERO = re.compile(r"[-\u2212]\d+|\(\d+\)")  # WooCommerce: 1 published, 0 private, -1 draft


class UnknownState(BadCell):
    """A column about visibility has an unknown word."""


def column(header: str) -> str | None:
    """Return our name for a header that is in no list but is about visibility. Its unknown words are no faults."""
    if len(header) > HEADER_LONGEST or (found := HEADER.fullmatch(spelled(header))) is None:
        return None
    if bool(found["shown"]) == bool(found["hidden"]):
        return None
    return "found_visible" if found["shown"] else "found_hidden"


def why_hidden(cells: Mapping[str, str], now: Callable[[], datetime]) -> str | None:
    """Return why the product is not visible (`draft`, `hidden`, ...); None if it is visible. Raises UnknownState."""
    if cells.get("magento") and cells.get("visibility") == "1":
        return "hidden"
    for column in COLUMNS:
        if column != "magento" and (value := cells.get(column)) and (reason := _reason_of(column, value, now)):
            return reason
    return None


def _reason_of(column: str, values: str, now: Callable[[], datetime]) -> str | None:
    """Return the reason in the columns of one name. An unknown word is an error only if no other of these columns has a
    known one."""
    unknown: list[UnknownState] = []
    several = values.split(APART)
    for value in several:
        try:
            if reason := _reason(column, value, now):
                return reason
        except UnknownState as error:
            unknown.append(error)
    if len(unknown) == len(several) and column in STATED:
        raise unknown[0]
    return None


def _reason(column: str, value: str, now: Callable[[], datetime]) -> str | None:
    word = folded(value)
    if BELOW_ZERO.fullmatch(value):
        return "draft"
    if word in NUMBERED.get(column, {}):
        return NUMBERED[column][word]
    if word in YES:
        return INVERSE.get(column)
    if word in NO:
        return None if column in INVERSE else MEANS.get(column, "inactive")
    if word in _words():
        return _words()[word]
    if any(word.startswith(no) and _words().get(word.removeprefix(no), "") is None for no in NEGATIONS):
        return MEANS.get(column, "unpublished")
    if NO_DATE.fullmatch(value):
        return None
    if not (found := times(value) if column in STATED else []):
        raise UnknownState(
            column,
            value,
            "does not say whether the product is visible in the shop: write active or draft, or pass --include-hidden "
            "to enqueue all products",
        )
    return "scheduled" if max(found) > now() else None


def folded(text: str) -> str:
    """Return the text in lower case, without accents, with spaces instead of punctuation."""
    bare = (char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return " ".join("".join(char if char.isalnum() else " " for char in bare).split())


@cache
def _words() -> dict[str, str | None]:
    return {folded(word): state for state, words in STATES.items() for word in words} | dict.fromkeys(
        map(folded, SHOWN)
    )
