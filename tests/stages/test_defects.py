"""Ways in which models spoil a good post, planted in four languages: each is repaired or sent back, and a good post is
left as it is.

The good posts hold what resembles a defect and is none: steps, common sizes and temperatures, tables, a price as the
source has it, `z. B.`, `TODO` in Spanish capitals.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.demo.campaign import shops
from blogworker.post.defects import DEFECTS, repair_fields
from blogworker.post.defects.claims import count_unknown
from blogworker.post.defects.kind import PostContext
from blogworker.post.prompts import IDEAS, POST, fenced
from blogworker.simulator.writer import Quality, write
from blogworker.stages.content import read_post
from blogworker.stages.material import material
from blogworker.stages.source import normalised
from blogworker.stages.writing import InvalidOutput

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


def blocks(text: str) -> list[str]:
    return text.split("\n\n")


def in_first_paragraph(planted: str) -> Callable[[str], str]:
    """Behind the second sentence, as a sentence or a part of it."""
    return lambda body: (
        body.replace(". ", f"{planted} ", 1) if planted.startswith(".") else body.replace(". ", f".{planted} ", 1)
    )


def instead(old: str, new: str) -> Callable[[str], str]:
    return lambda body: body.replace(old, new, 1)


def first(planted: str) -> Callable[[str], str]:
    return lambda body: f"{planted}\n\n{body}"


def last(planted: str) -> Callable[[str], str]:
    return lambda body: f"{body}\n\n{planted}"


def second(planted: str) -> Callable[[str], str]:
    """As a block of its own in the middle."""
    return lambda body: "\n\n".join([*blocks(body)[:2], planted, *blocks(body)[2:]])


@dataclass(frozen=True)
class Case:
    """One way to spoil a post. `gone`: what no reader may see, as a pattern; the post is repaired, else sent back."""

    defect: str
    spoil: Callable[[str], str] | None = None
    gone: str = ""
    whole: bool = False  # the body is as it was before
    languages: tuple[str, ...] = LANGUAGES
    keeps: tuple[str, ...] = ()


def told(defect: str, gone: str, texts: dict[str, str], place: Callable[[str], Callable[[str], str]]) -> list[Case]:
    """The same in each language's words; the body is as before."""
    return [Case(defect, place(text), gone=gone, whole=True, languages=(language,)) for language, text in texts.items()]


def steps(body: str, mark: str) -> str:
    return re.sub(r"^- ", f"- {mark} ", body, flags=re.M)


def one_line_table(body: str) -> str:
    table = next(block for block in blocks(body) if block.startswith("|"))
    return body.replace(table, table.replace("\n", " "))


def glued_rows(body: str) -> str:
    table = next(block for block in blocks(body) if block.startswith("|"))
    *above, one, two = table.split("\n")
    return body.replace(table, "\n".join([*above, one + two]))


def headless(body: str) -> str:
    return body.replace("| --- | --- | --- |\n", "")


def html_table(body: str) -> str:
    table = next(block for block in blocks(body) if block.startswith("|"))
    rows = [line.strip("|").split("|") for line in table.split("\n") if "---" not in line]
    cells = ["<tr>" + "".join(f"<td>{cell.strip()}</td>" for cell in row) + "</tr>" for row in rows]
    return body.replace(table, "<table>" + "".join(cells) + "</table>")


def named_everywhere(body: str) -> str:
    return re.sub(r"\. (?=[A-ZÉL])", ". The Low Water Mug: ", body)


def without_name(body: str) -> str:
    return re.sub(r"\[[^\]]*Low Water Mug\]", "[x]", body).replace("Low Water Mug", "X").replace("[x]", "[X]")


def cyrillic(body: str) -> str:
    """In the longest words, an `o`, `e` or `a` that only looks like one."""
    word = max(re.findall(r"[a-z]+", body), key=lambda word: ("o" in word or "e" in word, len(word)))
    return body.replace(word, word.replace("o", "\u043e").replace("e", "\u0435"))


def greek(body: str) -> str:
    word = max(re.findall(r"[a-z]*o[a-z]*", body), key=len)
    return body.replace(word, word.replace("o", "\u03bf"))


SAID_FIRST = {
    "en": "Sure! Here is the blog post you asked for:",
    "de": "Gerne! Hier ist der gewünschte Blogbeitrag:",
    "fr": "Bien sûr ! Voici l'article de blog demandé :",
    "es": "¡Claro! Aquí tienes el artículo para el blog:",
}
SAID_FIRST_TOO = {
    "en": "Here's a revised version of the article.",
    "de": "Natürlich. Nachfolgend finden Sie den überarbeiteten Artikel.",
    "fr": "Voici la version corrigée de l'article.",
    "es": "A continuación se muestra la versión revisada del artículo.",
}
SAID_LAST = {
    "en": "I hope this helps! Let me know if you would like any changes.",
    "de": "Ich hoffe, das hilft! Sagen Sie mir, ob ich etwas ändern soll.",
    "fr": "J'espère que cela vous aide ! N'hésitez pas à me demander une autre version.",
    "es": "¡Espero que esto te ayude! Avísame si quieres algún cambio.",
}
COUNTED = {
    "en": "(Word count: 912)",
    "de": "Wortzahl: 912",
    "fr": "Nombre de mots : 912",
    "es": "Número de palabras: 912",
}
OF_ITSELF = {
    "en": "As an AI language model, I cannot taste coffee.",
    "de": "Als KI-Sprachmodell kann ich keinen Kaffee kosten.",
    "fr": "En tant que modèle de langage, je ne goûte pas le café.",
    "es": "Como modelo de lenguaje, no puedo probar el café.",
}
LABELS = {"en": "Introduction", "de": "Einleitung", "fr": "Introduction", "es": "Introducción"}
ENDS = {"en": "Conclusion", "de": "Fazit", "fr": "Conclusion", "es": "Conclusión"}
TO_FILL = {
    "en": "[insert store name]",
    "de": "[Hier Produktnamen einfügen]",
    "fr": "[insérer le nom de la boutique]",
    "es": "[insertar nombre de la tienda]",
}
SEE = {
    "en": "See https://elsewhere.example/mugs or ask us.",
    "de": "Siehe z. B. https://elsewhere.example/mugs oder fragen Sie uns.",
    "fr": "Voir https://elsewhere.example/mugs ou demandez-nous.",
    "es": "Vea https://elsewhere.example/mugs o pregúntenos.",
}
WRITE = {
    "en": "Write to info@elsewhere.example for more.",
    "de": "Schreiben Sie an info@elsewhere.example für mehr.",
    "fr": "Écrivez à info@elsewhere.example pour en savoir plus.",
    "es": "Escriba a info@elsewhere.example para saber más.",
}
DEARER = {
    "en": "The Low Water Mug costs only $19.99 today.",
    "de": "Der Low Water Mug kostet heute nur 19,99 $.",
    "fr": "Le Low Water Mug coûte aujourd'hui seulement 19,99 $.",
    "es": "La Low Water Mug cuesta hoy solo 19,99 $.",
}
EUROS = {
    "en": "It costs €26.00.", "de": "Er kostet 26,00 €.", "fr": "Il coûte 26,00 €.", "es": "Cuesta 26,00 euros.",
}  # fmt: skip
LARGER = {
    "en": "The Low Water Mug holds 450 ml.",
    "de": "Der Low Water Mug fasst 450 ml.",
    "fr": "Le Low Water Mug contient 450 ml.",
    "es": "La Low Water Mug contiene 450 ml.",
}
HEAVIER = {
    "en": "The Low Water Mug stands firm. It weighs 410 g.",
    "de": "Der Low Water Mug steht fest. Er wiegt 410 g.",
    "fr": "Le Low Water Mug tient bien. Il pèse 410 g.",
    "es": "La Low Water Mug está firme. Pesa 410 g.",
}
OF_CHINA = {
    "en": "The Low Water Mug is made of fine porcelain.",
    "de": "Der Low Water Mug besteht aus feinem Porzellan.",
    "fr": "Le Low Water Mug est fabriqué en porcelaine.",
    "es": "La Low Water Mug está hecha de porcelana.",
}
SETS = {
    "en": "The Low Water Mug comes in a set of six.",
    "de": "Den Low Water Mug gibt es im 6er-Set.",
    "fr": "Le Low Water Mug est vendu en lot de six.",
    "es": "La Low Water Mug se vende en un juego de seis.",
}

PRIZED = {
    "en": "The Low Water Mug won a design award in 2023.",
    "de": "Der Low Water Mug wurde 2023 mit dem Designpreis ausgezeichnet.",
    "fr": "Le Low Water Mug a reçu le prix du design en 2023.",
    "es": "La Low Water Mug ganó el premio de diseño en 2023.",
}
RATED = {
    "en": "The Low Water Mug has 4.9 out of 5 stars.",
    "de": "Der Low Water Mug hat 4,9 von 5 Sternen.",
    "fr": "Plus de 2 300 clients ont choisi le Low Water Mug.",
    "es": "Más de 2.300 clientes tienen la Low Water Mug.",
}
GUARANTEED = {
    "en": "The Low Water Mug comes with a five-year warranty.",
    "de": "Auf den Low Water Mug gibt es zwei Jahre Garantie.",
    "fr": "Le Low Water Mug est garanti deux ans.",
    "es": "La Low Water Mug tiene dos años de garantía.",
}
STUDIED = {
    "en": "According to a recent study, most people drink their coffee lukewarm.",
    "de": "Laut einer Studie trinken die meisten ihren Kaffee lauwarm.",
    "fr": "Selon une étude, la plupart des gens boivent leur café tiède.",
    "es": "Según un estudio, la mayoría de la gente toma el café tibio.",
}
QUOTES = {
    "en": "“I use no other,” says Anna Weiss, who has three.",
    "de": "„Ich nehme keine andere“, sagt Anna Weiss, die drei hat.",
    "fr": "« Je n'en prends pas d'autre », dit Anna Weiss, qui en a trois.",
    "es": "«No uso otra», dice Anna Weiss, que tiene tres.",
}
VISITED = {
    "en": "Click here for more.",
    "de": "Klicken Sie hier für mehr.",
    "fr": "Cliquez ici pour en lire plus.",
    "es": "Haga clic aquí para leer más.",
}
BROKEN_OFF = {
    "en": "Whoever takes the train in the morning is better served by a flask with a",
    "de": "Wer morgens mit der Bahn fährt, ist besser bedient mit einer Flasche, die",
    "fr": "Qui prend le train le matin est mieux servi par une bouteille avec un",
    "es": "Quien toma el tren por la mañana está mejor servido con una botella de",
}


def sent_back(defect: str, texts: dict[str, str]) -> list[Case]:
    return [Case(defect, second(text), languages=(language,)) for language, text in texts.items()]


CASES = [
    Case("fence around the post", lambda body: f"```markdown\n{body}\n```", gone="```", whole=True),
    Case("line ends as letters", lambda body: body.replace("\n", "\\n"), gone=r"\\n", whole=True),
    *(
        Case("citation", in_first_paragraph(mark), gone=re.escape(mark.strip()), whole=True)
        for mark in (
            "【4†source】",
            " [1]",
            "[2, 3]",
            "[1][2]",
            " :contentReference[oaicite:0]{index=0}",
            " (turn0search1)",
            " citeturn0search1turn2view0",
            "\ue200cite\ue202turn0search4\ue201",
            " ([wikipedia.org](https://en.wikipedia.org/wiki/Mug?utm_source=chatgpt.com))",
        )
    ),
    Case(
        "footnote",
        lambda body: f"{body.replace('. ', '.[^1] ', 1)}\n\n[^1]: A note.\n    More of it.",
        gone=r"\^",
        whole=True,
    ),
    Case("footnote", in_first_paragraph("<sup>1</sup>"), gone="<sup|[.]1", whole=True),
    Case("footnote", in_first_paragraph("¹"), gone="¹", whole=True),
    Case(
        "link by reference",
        lambda body: f"{re.sub(r'[(]https[^)]*[)]', '[shop]', body)}\n\n[shop]: {OWN}",
        gone=r"\[shop\]",
        whole=True,
    ),
    Case("link by reference", instead(". ", ". [x][nowhere]: "), gone=r"\[x|nowhere\]"),
    Case("struck-out words", instead(". ", " ~~or cold~~. "), gone="~~|or cold"),
    Case("task list", lambda body: steps(body, "[ ]"), gone=r"\[ \]", whole=True),
    Case("task list", lambda body: steps(body, "[x]"), gone=r"\[x\]", whole=True),
    Case("chat mark", lambda body: f"{body}<|im_end|>", gone="im_end", whole=True),
    *told("remark about the answer", r"Sure|Gerne|Bien sûr|¡Claro", SAID_FIRST, first),
    *told("remark about the answer", "revised|überarbeitet|corrig|revisada", SAID_FIRST_TOO, first),
    *told("remark about the answer", r"I hope|Ich hoffe|J'espère|Espero", SAID_LAST, last),
    *told("remark about the answer", "912", COUNTED, last),
    Case("remark about the answer", first("---"), gone=r"\A---", whole=True),
    *sent_back("remark about the writer", OF_ITSELF),
    *told("heading that is a label", "introdu|einleit", {key: f"## {text}" for key, text in LABELS.items()}, first),
    *(
        Case("heading that is a label", instead("## ", f"## {text}: "), gone=f"{text}:", whole=True, languages=(key,))
        for key, text in ENDS.items()
    ),
    *(
        Case("heading that is a label", second(f"## {text}"), gone=text, whole=True, languages=(key,))
        for key, text in ENDS.items()
    ),
    *sent_back("placeholder in square brackets", TO_FILL),
    *(
        Case("placeholder in square brackets", second(f"{mark}."))
        for mark in ("[PRODUCT NAME]", "[Your Name]", "[PRODUCT_LINK]")
    ),
    Case("placeholder in curly brackets", second("{{ product.title }}.")),
    Case("placeholder in curly brackets", second("{product_name}.")),
    Case("placeholder in curly brackets", second("${name}.")),
    Case("placeholder in percent signs", second("%PRODUCT_NAME%.")),
    Case("placeholder in percent signs", second("%%title%%.")),
    Case("placeholder in angle brackets", second("<product name>.")),
    Case("template tag", second("{% if product %}")),
    Case("template tag", second("[vc_row width='1']")),
    Case("filler", second("Lorem ipsum dolor sit amet.")),
    Case("filler", second("TODO: say more.")),
    *(
        Case("foreign address", second(text), gone="elsewhere|Siehe|See |Voir|Vea ", whole=True, languages=(key,))
        for key, text in SEE.items()
    ),
    *(
        Case("foreign address", in_first_paragraph(f" {text}"), gone="elsewhere", whole=True, languages=(key,))
        for key, text in WRITE.items()
    ),
    Case("foreign address", second("- www.elsewhere.example"), gone="www", whole=True),
    Case("foreign link", instead(". ", ". [Words](https://elsewhere.example/x) "), gone="elsewhere", keeps=("Words",)),
    Case("picture", first("![A mug](https://elsewhere.example/mug.png)"), gone="!|png", whole=True),
    Case(
        "more than one link",
        lambda body: body.replace("## ", f"[x y z]({OWN}) ## ", 0) + f" [Mug words]({OWN}).",
        keeps=("Mug words",),
    ),
    Case("more than one link", last(f"Gaze: <{OWN}>."), gone="Gaze", whole=True),
    Case("top heading", lambda body: body.replace("\n## ", "\n# "), gone=r"^# ", whole=True),
    Case("HTML", lambda body: re.sub(r"^## (.*)$", r"<h2>\1</h2>", body, flags=re.M), gone="h2", whole=True),
    Case("HTML", html_table, gone="td", whole=True),
    Case("glued table", one_line_table, whole=True),
    Case("glued table", glued_rows, whole=True),
    Case("glued table", headless, whole=True),
    Case(
        "ragged table",
        lambda body: re.sub(r"^(\| Espresso.*)$|^(\| Expresso.*)$", r"\1\2 more | and more |", body, flags=re.M),
    ),
    Case("letters of two scripts", cyrillic, gone="[\u0400-\u04ff]", whole=True),
    Case("letters of two scripts", greek, gone="[\u0370-\u03ff]", whole=True),
    Case("letters of two scripts", second("Kaff\u0436e.")),
    Case("paragraph twice", lambda body: f"{body}\n\n{blocks(body)[2]}", whole=True),
    Case("paragraph twice", lambda body: f"{body}\n\n{body}", whole=True),
    Case("words in brackets", instead(". ", ". [Words] "), gone=r"\[Words", keeps=("Words",)),
    Case("product never named", without_name),
    Case("product named too often", named_everywhere),
    Case(
        "broken encoding",
        lambda body: body.encode().decode("cp1252", "ignore"),
        gone="\u00c3",
        languages=("de", "fr", "es"),
    ),
    Case(
        "answer in the body",
        lambda body: json.dumps({"title": "x", "body_markdown": body}),
        gone="body_markdown",
        whole=True,
    ),
    Case("thoughts of the model", first("<think>\nThe user wants a post.\n</think>"), gone="user wants", whole=True),
    Case("emoji", lambda body: body.replace("## ", "## \U0001f31f "), gone="\U0001f31f", whole=True),
    Case("emoji", in_first_paragraph(" \U0001f60d\U0001f44d\U0001f3fd"), gone="\U0001f60d", whole=True),
    Case("placeholder in underscores", second("__YOUR_EMAIL__ answers.")),
    Case("placeholder in underscores", second("YOUR_NAME answers.")),
    Case("placeholder in percent signs", in_first_paragraph(" See %s.")),
    Case("placeholder in percent signs", in_first_paragraph(" See %1$s.")),
    Case("placeholder in angle brackets", second("<PRODUKTNAME>.")),
    Case("heading without a text", last("## More"), gone="More", whole=True),
    Case("word of another script", instead(" ", " \u8d28\u91cf ")),
    *sent_back("request to a visitor", VISITED),
    *sent_back("text that breaks off", BROKEN_OFF),
    *sent_back("award not in the source", PRIZED),
    *sent_back("rating not in the source", RATED),
    *sent_back("guarantee not in the source", GUARANTEED),
    *sent_back("study not in the source", STUDIED),
    *sent_back("quotation not in the source", QUOTES),
    *sent_back("price not in the source", DEARER),
    *sent_back("price not in the source", EUROS),
    *sent_back("measure not in the source", LARGER),
    *sent_back("measure not in the source", HEAVIER),
    *sent_back("material not in the source", OF_CHINA),
    *sent_back("count not in the source", SETS),
]
PLAIN = [  # a spoilt field, what it becomes; None: it goes back
    ("title", "**{}**", "{}", "Markdown in a plain field"),
    ("title", "# {}", "{}", "Markdown in a plain field"),
    ("title", '"{}"', "{}", "title in quotation marks"),
    ("title", "Title: {}", "{}", "label of a field"),
    ("title", "Titel: {}", "{}", "label of a field"),
    ("title", "Titre : {}", "{}", "label of a field"),
    ("title", "Título: {}", "{}", "label of a field"),
    ("title", "{}: " + "word " * 30, "{}", "long title"),
    ("title", "word " * 30, None, "long title"),
    ("title", "{} [Your Name]", None, "placeholder in square brackets"),
    ("title", "{} {{{{ name }}}}", None, "placeholder in curly brackets"),
    ("seo_title", "*{}*", "{}", "Markdown in a plain field"),
    ("seo_title", "Meta title: {}", "{}", "label of a field"),
    ("excerpt", "{} See https://elsewhere.example/x now.", "{}", "foreign address"),
    ("excerpt", "{} Look at " + OWN + ".", "{}", "foreign address"),
    ("excerpt", "{}【4†source】", "{}", "citation"),
    ("excerpt", "{} I hope this helps!", "{}", "remark about the answer"),
    ("excerpt", "{} %name%", None, "placeholder in percent signs"),
    ("excerpt", "{} It costs €5.", None, "price not in the source"),
    ("seo_description", "`{}`", "{}", "Markdown in a plain field"),
    ("seo_description", "{} ~~Not~~", "{}", "struck-out words"),
    ("image_alt", "_{}_", "{}", "Markdown in a plain field"),
    ("image_alt", "Alt text: {}", "{}", "label of a field"),
    ("image_alt", "Image of {}", "{}", "words about the picture"),
    ("image_alt", "Bild von {}", "{}", "words about the picture"),
    ("image_alt", "Une photo de {}", "{}", "words about the picture"),
    ("image_alt", "Imagen de {}", "{}", "words about the picture"),
    ("title", "\u2728 {}", "{}", "emoji"),
    ("excerpt", "{} \U0001f64c", "{}", "emoji"),
    ("image_alt", "![{}](https://elsewhere.example/p.png)", None, "picture"),
]


def read(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(read_post(json.dumps(answer), source=SOURCE, idea={}))


def named(case: Case) -> str:
    return f"{case.defect} {CASES.index(case)}".replace(" ", "-")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_post_is_left_as_it_is(language: str) -> None:
    """A check that finds what is not there costs a repair of every post, and then the post."""
    post = good(language)

    made = read(post)

    assert made["defects"] == []
    assert made["markdown"] == BODIES[language].replace(f"({OWN})", f"(<{OWN}>)")
    assert {name: made[name] for name in FIELDS[language]} == FIELDS[language]


@pytest.mark.parametrize(
    ("language", "case"),
    [pytest.param(language, case, id=f"{language}-{named(case)}") for case in CASES for language in case.languages],
)
def test_what_spoils_a_post_is_repaired_or_sent_back(language: str, case: Case) -> None:
    post = good(language)
    assert case.spoil is not None
    post["body_markdown"] = case.spoil(post["body_markdown"])
    assert post["body_markdown"] != BODIES[language], "nothing was planted"

    if not (case.gone or case.whole or case.keeps):
        with pytest.raises(InvalidOutput) as unfit:
            read(post)
        assert case.defect in unfit.value.defects
        return
    made = read(post)

    assert case.defect in made["defects"]
    if case.gone:
        assert (
            re.search(case.gone, made["markdown"], re.M | re.I if case.defect == "heading that is a label" else re.M)
            is None
        )
    if case.whole:
        assert made["markdown"] == BODIES[language].replace(f"({OWN})", f"(<{OWN}>)")
    assert all(kept in made["markdown"] for kept in case.keeps)
    assert made["html"].count("<a href=") == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "spoilt", "expected", "defect"), PLAIN)
def test_a_plain_field_is_plain(language: str, name: str, spoilt: str, expected: str | None, defect: str) -> None:
    post = good(language)
    post[name] = spoilt.format(post[name])

    checked = repair_fields(post, source=SOURCE, idea={})

    assert defect in [*checked.repaired, *checked.returned]
    if expected is not None:
        assert checked.faults == []
        assert checked.fields[name].strip() == expected.format(good(language)[name])


def test_every_defect_of_the_table_is_planted() -> None:
    planted = {case.defect for case in CASES} | {defect for *_, defect in PLAIN}

    assert {defect.name for defect in DEFECTS} == planted
    assert len(planted) >= 25


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_has_a_repair_or_a_sentence_for_its_writer(defect: Any) -> None:
    assert (defect.repair is None) == (defect.find is not None) == bool(defect.message)


def test_posts_of_every_kind_that_the_simulator_writes_pass_unchanged() -> None:
    blogs = [job for shop in shops() for job in shop.jobs]
    for number, blog in enumerate(blogs[::8]):
        source = {**normalised(blog.source_type, blog.source_id, blog.source_data), "site": {}}
        prompt = fenced("source", material(source))
        ideas = write(prompt, IDEAS.schema, seed=1, repetition=1, quality=Quality.GOOD)["ideas"]
        asked = f"{prompt}\n\n{fenced('idea', ideas[number % len(ideas)])}"
        post = write(asked, POST.schema, seed=1, repetition=1, quality=Quality.GOOD)

        checked = repair_fields(post, source=source, idea={})

        assert (checked.repaired, checked.faults) == ([], []), post["title"]


WITHOUT_END = (
    "[a](", "![", "[a](b ", "[a](x(y)", "<!--", "<table><tr>", "<sup>", "{{", "{%", "%a", "<|", "| a ", "|--|",
    "~~a ", "*a ", "**a", "_a", "`", "【", "[1", "[^", "- [ ] ",
    "https://a(", "a@b.", "a-", "a. ", "$1", "1,000", "12 cm ", " ",
    "\n", "\n\n", "\\n", "turn0search", "\u043ea", "[a][", "Low Water Mug. ", "([a](b)", "# a\n", "Sure! ", '"',
    "<think>", "\U0001f31f ", "\u00c3\u00a9", "AA_", "<AAAA", "\u201d says ", "Low Water Mug won ", "%(a", "\u8d28 ",
)  # fmt: skip


@pytest.mark.parametrize("sign", WITHOUT_END)
def test_a_writer_that_cannot_stop_is_cleaned_up_after_in_one_pass(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a text is stored: a worker that hung over it would lose its lease, and the next would hang too.

    Eight times the text takes about eight times as long, and 64 times where a pattern looks back. What the Markdown
    parser takes is not counted.
    """
    monkeypatch.setattr("blogworker.post.render.text", lambda markdown: markdown)

    def seconds(length: int) -> float:
        text = sign * (length // len(sign))
        started = process_time()
        repair_fields({"title": text, "body_markdown": text}, source=SOURCE, idea={})
        return process_time() - started

    assert seconds(8_000) < max(0.1, 24 * seconds(1_000))


@given(st.integers(13, 99), st.sampled_from(["cm", "mm", "kg", "g", "ml"]))
def test_a_measure_of_the_source_is_not_a_number_of_pieces(number: int, unit: str) -> None:
    """A mug of 9 cm was taken for a set of nine."""

    def unknown(description: str) -> str:
        source = {"kind": "product", "name": "Low Water Mug", "description": description}
        return count_unknown(f"The Low Water Mug comes in a set of {number}.", PostContext(source, {}, title=""))

    assert unknown(f"It measures {number} {unit}.")
    assert not unknown(f"It measures 8 {unit}. A set of {number}.")
