"""Ways in which models spoil a good post."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from .good_posts import LANGUAGES, OWN
from .spoilt_sentences import (
    ABBREVIATED,
    BROKEN_OFF,
    COUNTED,
    DEARER,
    ENDS,
    EUROS,
    GUARANTEED,
    HEAVIER,
    LABELS,
    LARGER,
    OF_CHINA,
    OF_ITSELF,
    PRIZED,
    QUOTES,
    RATED,
    SAID_FIRST,
    SAID_FIRST_TOO,
    SAID_LAST,
    SEE,
    SETS,
    STUDIED,
    TO_FILL,
    VISITED,
    WRITE,
)


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


def per_language(
    defect: str, gone: str, texts: dict[str, str], place: Callable[[str], Callable[[str], str]]
) -> list[Case]:
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
    *per_language("remark about the answer", r"Sure|Gerne|Bien sûr|¡Claro", SAID_FIRST, first),
    *per_language("remark about the answer", "revised|überarbeitet|corrig|revisada", SAID_FIRST_TOO, first),
    *per_language("remark about the answer", r"I hope|Ich hoffe|J'espère|Espero", SAID_LAST, last),
    *per_language("remark about the answer", "912", COUNTED, last),
    Case("remark about the answer", first("---"), gone=r"\A---", whole=True),
    *sent_back("remark about the writer", OF_ITSELF),
    *per_language(
        "heading that is a label", "introdu|einleit", {key: f"## {text}" for key, text in LABELS.items()}, first
    ),
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
    *sent_back("text that breaks off", ABBREVIATED),
    *(
        Case("quotation that breaks off", second(f"> {text}"), gone=re.escape(text), whole=True, languages=(language,))
        for language, text in ABBREVIATED.items()
    ),
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
