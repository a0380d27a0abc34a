"""Files that are not UTF-8: those of Western spreadsheets are read, all others are refused rather than guessed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row
from blogworker.intake.legacy import is_western

Reads = Callable[..., list[Row]]

WESTERN = {
    "de": "Gießkanne Größe Übertöpfe für Bäckerei schön Straße Müsli Öl Äpfel Café 12,50 € „gut“ 30 °C",
    "fr": "crème brûlée à emporter où l\u2019été créée Écru œuvre garçon Noël naïf « très » 12 €",
    "es": "cuaderno cosido ¿cuánto? niños acción útil pingüino jabón ª €",
    "it": "perché città più è caffè così là qualità",
    "pt": "coração mãos pão à mesa têxteis avô canções",
    "da": "smørebræt blå ærlig høj Ærø",
    "sv": "Möbler på golvet ärlig höjd Åre",
    "nl": "reünie geïmporteerd één officiële €",
}
OTHERS = {
    "cp1251": "Кружка Ладога белая глина ручная работа",
    "cp1250": "Żółta filiżanka łąka gęś źródło ćma",
    "cp1253": "Κούπα από κεραμικό λευκή",
    "cp1254": "ağaç tabağ\u0131 şişe göğüs",
    "cp1255": "כוס קרמיקה לבנה",
    "shift_jis": "手作り急須と茶碗",
    "gb18030": "手工茶壶和茶杯",
    "mac_roman": "Größe für schöne Bäume Übertöpfe",
}
CZECH = "příliš žluťoučký kůň hrnek řeka měsíc"
HUNGARIAN = "kézzel készült bögre tűz hőálló erős öböl üveg"
HEADER = "Artikelnummer;Bezeichnung;Beschreibung;Preis\r\n"


def words(texts: dict[str, str]) -> st.SearchStrategy[tuple[str, str]]:
    """A language or encoding, and a few of its words that are not all ASCII."""

    def of(name: str) -> st.SearchStrategy[tuple[str, str]]:
        some = st.lists(st.sampled_from(texts[name].split()), min_size=3, max_size=12).map(" ".join)
        return some.filter(lambda text: not text.isascii()).map(lambda text: (name, text))

    return st.sampled_from(sorted(texts)).flatmap(of)


@given(words(WESTERN))
def test_a_text_of_western_europe_is_read_in_its_code_page(said: tuple[str, str]) -> None:
    assert is_western((HEADER + f"a;{said[1]};;1,50\r\n").encode("cp1252"))


@pytest.mark.parametrize("encoding", OTHERS)
def test_the_text_of_another_code_page_is_not_guessed_at(encoding: str) -> None:
    assert not is_western((HEADER + f"a;{OTHERS[encoding]};;1,50\r\n").encode(encoding))


@pytest.mark.parametrize("text", [CZECH, HUNGARIAN])
def test_czech_and_hungarian_look_western_and_are_not(text: str) -> None:
    assert not is_western((HEADER + f"a;{text};;1,50\r\n").encode("cp1250"))


OF_DOS = [
    word
    for text in WESTERN.values()
    for word in (*text.split(), "café", "thé", "glacé", "naïveté", "schön", "Männer", "côté")
    if word.isalpha() and re.search(r"[a-z][éäöêçèåôüïøì][a-z]", word, re.IGNORECASE)
]


@given(st.lists(st.sampled_from(OF_DOS), min_size=1, max_size=9))
def test_the_text_of_a_dos_program_is_not_guessed_at(words: list[str]) -> None:
    content = "\r\n".join(words)

    assert not is_western(content.encode("cp850", errors="ignore"))


def test_a_word_that_ends_in_an_accent_is_not_guessed_at_either(rows_of: Reads) -> None:
    rows = rows_of("café\nthé glacé\n".encode("cp850"), kind="keywords")

    assert [type(row) for row in rows] == [Fault, Fault]


@given(words(WESTERN), st.integers(0, 200))
def test_a_damaged_file_in_utf8_is_not_of_a_code_page(said: tuple[str, str], place: int) -> None:
    content = (HEADER + f"a;{said[1]} é;;1,50\r\n").encode()

    assert not is_western(content)
    assert not is_western(content[: place % len(HEADER)] + b"\xe4" + content[place % len(HEADER) :])


def test_a_spreadsheets_file_tells_what_its_shop_wrote(rows_of: Reads) -> None:
    content = HEADER + "g-1;Gießkanne „Föhr“;<p>Größe: 30 cm \u2013 für Bäume</p>;12,50 €\r\n"

    rows = rows_of(content.encode("cp1252"), kind="csv")

    assert isinstance(rows[0], Accepted)
    found: dict[str, Any] = rows[0].job.source_data
    assert (found["name"], found["price"], found["currency"]) == ("Gießkanne „Föhr“", "12.50", "EUR")
    assert found["description"] == "Größe: 30 cm \u2013 für Bäume"


def test_a_list_of_keywords_is_read_so_too_but_no_json(rows_of: Reads) -> None:
    rows = rows_of("schöne Gießkannen\r\nfür Bäume\r\n".encode("cp1252"), kind="keywords")
    lines = rows_of('{"source_type": "keyword", "source_data": {"keyword": "Öl"}}'.encode("cp1252"), kind="jsonl")

    assert [row.job.source_data["keyword"] for row in rows if isinstance(row, Accepted)] == [
        "schöne Gießkannen",
        "für Bäume",
    ]
    assert isinstance(lines[0], Fault)
