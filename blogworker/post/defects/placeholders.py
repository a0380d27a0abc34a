"""Finds placeholders: `[insert name]`, `{{ product }}`, `%name%`, and template tags.

A post with one goes back to the model. In the text of a shop they are removed before a model reads it, because a model
that follows its source would repeat them.
"""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.defects.sentences import sentences

# The first words of a placeholder, in six languages. Any text may follow them within the brackets.
PLACEHOLDER_WORDS = (
    r"insert|add|enter|fill|replace|your|our|company|brand|business|shop|store|customer|product|link|url|image|photo"
    r"|picture|name|date|price|placeholder|todo|tbd|tk|xxx+|cta|phone|email|address|city"
    r"|hier|füge|bitte|ihre?n?|deine?n?|unternehmen|firma|firmenname|marke|produkt\w*|preis|bild|datum|stadt"
    r"|insérer|insérez|ajouter|ajoutez|votre|vos|nom|marque|entreprise|boutique|produit|lien|prix|photo|ville"
    r"|insertar|inserte|inserta|añadir|añade|su|tu|nombre|marca|empresa|tienda|producto|enlace|precio|imagen|fecha"
    r"|inserire|inserisci|nome|prodotto|azienda|prezzo|vostr[oa]|tuo|tua|inserir|insira|produto|seu|sua|invoegen|naam"
    r"|bedrijf|uw|jouw"
)
SQUARE = re.compile(
    rf"\[\s*(?:(?:{PLACEHOLDER_WORDS})\b[^\[\]\n]{{0,80}}|[A-Z]{{2,}}[_ ][A-Z_ ]{{2,40}})\](?!\()", re.I
)
CAPITALS = re.compile(r"\[[A-ZÄÖÜÉÈÁÍÓÚÑ]{2,}(?:[_ ][A-ZÄÖÜÉÈÁÍÓÚÑ]{2,})+\]")
CLOSED_CURLY = re.compile(r"\{\{[^{}]{0,200}\}\}")
DOUBLE_CURLY = re.compile(CLOSED_CURLY.pattern + r"|\{\{|\}\}(?!\s*$)")
CURLY = re.compile(r"[$#]?\{\s*[^\W\d][\w.\-]{1,40}(?: [\w.\-]{1,20}){0,3}\s*\}")
PERCENT = re.compile(
    r"(?<![\d%\w])%{1,2}[A-Za-z][A-Za-z_]{1,40}%{1,2}(?![\d%\w])|(?<![\d%\w])%(?:\d{1,2}\$)?(?:s|d|i|@|\.\d?f)(?![\w%])"
    r"|(?<![\d%\w])%\([a-z_]{1,40}\)[sd](?!\w)"
)
UNDERSCORES = re.compile(r"\b__?[A-ZÄÖÜÉ]{2,}(?:[_ ][A-ZÄÖÜÉ]{2,}){0,4}__?\b|\b[A-ZÄÖÜÉ]{2,}(?:_[A-ZÄÖÜÉ]{2,}){1,4}\b")
ANGLE = re.compile(
    r"<\s*(?:insert|your|product|company|brand|customer|shop|store|ihr|dein|produkt|firma|votre|nom|produit|nombre"
    r"|producto|empresa|su|tu|nome|marca|prodotto|produto|seu|sua|vostr[oa]|tuo|tua|naam|merk|uw|jouw|marke|name|url|link)"
    r"(?:[ _-][^<>=\n]{1,40})?>",
    re.I,
)
ANGLE_CAPITALS = re.compile(
    r"<(?!(?:TABLE|THEAD|TBODY|STRONG|SPAN|BLOCKQUOTE|CODE|SCRIPT|STYLE|HEAD|BODY|HTML|SECTION|ARTICLE|SMALL|FONT|CENTER)>)"
    r"[A-ZÄÖÜÉÈÁÍÓÚÑ]{4,}(?:[_ -][A-ZÄÖÜÉÈÁÍÓÚÑ]{2,}){0,4}>"
)
FILLERS = re.compile(
    r"lorem ipsum|dolor sit amet|\bTODO\s*:|\bTBD\b|\bX{4,}\b|\[(?:\.{3}|…)\]|\b(?:19|20)XX\b|(?<!\w)_{3,}(?=\s+\w)"
    r"|\bXX\s(?:min|sec|stund|hour|heure|hora|ore\b|days?\b|tage?n?\b|jours?\b|d[ií]as?\b|%|€|cm\b|mm\b|kg\b|g\b|ml\b)\w*"
    r"|\((?i:insert|add|hier|insérer|insertar|inserire|inserir)\s(?i:an?\s|the\s|your\s|un[ae]?\s|el\s|la\s|le\s|il\s)?"
    r"(?i:link|image|photo|picture|name|url|price|foto|bild|lien|enlace|imagen|immagine|imagem)\b[^()\n]{0,40}\)"
    r"|\b[Ii]nsert\s(?:an?\s|the\s|your\s)?(?:image|photo|picture|link|name|url|quote)\shere\b"
    r"|\b(?:Your|Company|Brand|Shop|Store)\sName\b|(?<![\w$])\$[A-Z][A-Z_]{3,}\b|(?<![\w.])@[a-z_]{3,}@(?!\w)"
)
TEMPLATE = re.compile(
    r"\{%[^{}\n]{0,200}%\}|<%[^<>\n]{0,200}%>|\[/?[a-z]+_[a-z_]+(?:\s[^\[\]\n]{0,200})?\]|\{/?(?:if|for|each|end)\b[^{}\n]{0,80}\}"
)
# Chat markers from the training data of models. They have no meaning for a reader.
CHAT = re.compile(r"<\|[^<>|\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>(?=\s|$)")
LATIN_FILLER = re.compile(r"\b(?:lorem ipsum|consectetur adipi|incididunt ut labore|dolor sit amet)", re.I)
SENTENCE = re.compile(r"[^.!?]*[.!?]*\s*")
INSERT = re.compile(
    r"\[\s*(?:insert|add|enter|your|placeholder|hier|bitte|ihre?n?|insér\w+|votre|insert\w+|su|tu)\b[^\[\]\n]{0,80}\]",
    re.I,
)
SHORTCODE = re.compile(
    r"\[/?[a-z]+(?:_[a-z]+)+(?:\s[^\[\]]{0,200})?\]|\[/?(?:gallery|caption|embed|audio|video)\b[^\[\]]{0,200}\]"
)
UNCLOSED = re.compile(r"\{\{|\}\}|\{%|%\}")
OF_A_FIELD = re.compile(
    r"[$#]?\{\s*(?:[a-z]+[_.][\w.]{1,40}|name|title|product|price|brand|vendor|sku|shop|store|value)\s*\}", re.I
)
FIELD_IN_SQUARE = re.compile(r"\[[a-z]+(?:_[a-z]+)+\](?!\()")
IN_PLACE_OF_WORDS = (CLOSED_CURLY, INSERT, PERCENT, OF_A_FIELD, FIELD_IN_SQUARE)
GAP = "\ue0fe"  # replaces a tag while sentences are checked; cleaned text has no such character
GAP_IN_WORDS = re.compile(rf"\w[ \t]+{GAP}")
LEADING_PUNCTUATION = re.compile(r"^[\s,;:.\u2013\u2014-]+(?=\w)")
SPACES = re.compile(r"[ \t]{2,}")
BEFORE_A_STOP = re.compile(r"(?<=\w)[ \t]+(?=[.,;:!?](?:\s|$))")


def _found(pattern: re.Pattern[str], text: str, context: PostContext) -> str:
    """Return the first match that does not come from the shop."""
    return next((found[0] for found in matches(pattern, text) if not context.source_has(found[0])), "")


def square(text: str, context: PostContext) -> str:
    return _found(CAPITALS, text, context) or _found(SQUARE, text, context)


def curly(text: str, context: PostContext) -> str:
    return _found(DOUBLE_CURLY, text, context) or _found(CURLY, text, context)


def percent(text: str, context: PostContext) -> str:
    return _found(PERCENT, text, context) if "%" in text else ""


def angle(text: str, context: PostContext) -> str:
    return _found(ANGLE_CAPITALS, text, context) or _found(ANGLE, text, context)


def underscores(text: str, context: PostContext) -> str:
    return _found(UNDERSCORES, text, context) if "_" in text else ""


def fillers(text: str, context: PostContext) -> str:
    return _found(FILLERS, text, context)


def template(text: str, context: PostContext) -> str:
    return _found(TEMPLATE, text, context)


def without_chat_marks(text: str, context: PostContext) -> str:
    return CHAT.sub("", text)


def without_placeholders(text: str, *, prose: bool = True) -> str:
    """Remove the template tags from a shop's text, because their values are not known.

    In prose, a sentence in which a tag follows a word has no meaning without it, and is removed:
    `your {{ product }} ships from`. Otherwise the rest of the sentence stays: `{{ shop }}: holds 2 l` states a fact.
    A name keeps all its other words.
    """
    cleaned = text
    for pattern in IN_PLACE_OF_WORDS:
        cleaned = pattern.sub(GAP, cleaned)
    if GAP in cleaned:
        parts = sentences(cleaned) if prose else [cleaned]
        cleaned = "".join(part for part in parts if not (prose and GAP_IN_WORDS.search(part))).replace(GAP, " ")
        cleaned = LEADING_PUNCTUATION.sub("", cleaned)
    for pattern in (TEMPLATE, SHORTCODE, UNCLOSED):
        cleaned = pattern.sub(" ", cleaned)
    if LATIN_FILLER.search(cleaned):
        cleaned = "".join(part for part in SENTENCE.findall(cleaned) if not LATIN_FILLER.search(part))
    if cleaned == text:
        return text
    return BEFORE_A_STOP.sub("", SPACES.sub(" ", cleaned)).strip()
