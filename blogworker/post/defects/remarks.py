"""Finds what a model writes about its answer instead of its subject, in English, German, French, Spanish and others."""

import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.defects.sentences import BETWEEN_BLOCKS, sentences

WORK = (
    r"(?:blog[ -]?post|article|post|draft|blog-?beitrag|beitrag|artikel|blogartikel|entwurf|billet|brouillon|artículo"
    r"|entrada|borrador|articolo|artigo|bozza|rascunho|blogbericht|concept"
    r"|(?:revised|updated|corrected|final|rewritten|improved|complete|full|überarbeitete|korrigierte|révisée?|corrigée?"
    r"|revisad[oa]|corregid[oa])\s(?:version|text|copy|fassung|texte?|versión|texto)"
    r"|version\s(?:révisée|corrigée)|versión\s(?:revisada|corregida)|versione\s(?:rivista|corretta)|versão\s(?:revista|corrigida)"
    r"|(?:title|excerpt|titel|auszug|titre|extrait|título|extracto)(?=\s*:))"
)
BEGINS = re.compile(
    rf"""^\W{{0,4}}(?:
      (?:(?:sure|certainly|absolutely|of\ course|great|okay|ok|understood|gerne?|natürlich|selbstverständlich
        |klar|alles\ klar
         |bien\ sûr|avec\ plaisir|d['’]accord|certainement|claro(?:\ que\ sí)?|por\ supuesto|desde\ luego|certo
           |certamente
         |natuurlijk|zeker)\s?[!,.:–-]+\s*)+
         (?=$|(?:here|below|hier|voici|ci-dessous|aquí|ecco|di\ seguito|aqui|segue|i['’]|ich|je|he\ ))
    | (?:here\ is|here['’]s|below\ is|below\ you|i['’]ve\ written
      |i\ have\ written)\s(?:\S+\s){{0,8}}?{WORK}\b[^.:!\n]{{0,120}}[.:!]*
    | (?:hier\ ist|hier\ kommt|anbei|nachfolgend|im\ folgenden|unten
      |ich\ habe)\s(?:\S+\s){{0,8}}?(?:blog)?{WORK}\b[^.:!\n]{{0,120}}[.:!]*
    | (?:voici|ci-dessous|j['’]ai\ (?:rédigé|écrit))\s(?:\S+\s){{0,8}}?(?:\w['’])?{WORK}\b[^.:!\n]{{0,120}}[.:!]*
    | (?:aquí\ (?:tienes?|está|va|te)|a\ continuación|he\ escrito|ecco|di\ seguito|ho\ scritto|aqui\ (?:está|tem|vai)
      |segue|escrevi|hier\ is|hieronder)\s(?:\S+\s){{0,8}}?(?:\w{{1,4}}['’])?{WORK}\b[^.:!\n]{{0,120}}[.:!]*
    )""",
    re.I | re.X,
)
ENDS = re.compile(
    r"""^\W{0,4}(?:
      (?:i\ )?(?:do\ )?hope\ (?:this|that|it)\s(?:\S+\s){0,4}?(?:helps?|helpful|useful|works|meets|fits)
    | (?:please\ )?(?:let\ me\ know|feel\ free\ to\ (?:ask|reach|let\ me|contact\ me)|tell\ me)\b
    | (?:would\ you\ like|do\ you\ want)\ me\ to\b
    | (?:shall|should)\ i\ (?:adjust|write|add|change|create|make|expand|revise|shorten)\b
    | (?:is\ there\ )?anything\ else\ (?:i\ can|you)
    | \(?(?:approx\w*\.?\ |total\ )?word\ count\b | \(?(?:about\ |approximately\ )?\d[\d,.]*\ words\)?\s*$
    | ich\ hoffe,?\s(?:das|dies|dieser|der)\s(?:\S+\s){0,3}?(?:hilft|hilfreich|gefällt|passt|nützlich|entspricht)
    | (?:sag|sagen\ sie|gib|geben\ sie|lass|lassen\ sie)\s(?:mir|mich)\b
    | (?:soll|möchten\ sie,?|möchtest\ du,?)\s(?:ich|dass\ ich)\b
    | (?:wortzahl|wortanzahl|anzahl\ (?:der\ )?wörter)\b | \(?(?:ca\.?\ |etwa\ )?\d[\d.]*\ wörter\)?\s*$
    | j['’]espère\ que\s(?:\S+\s){0,4}?(?:aide\w*|utile|convient|plaira|plaît|répond)
    | n['’]hésite[zr]?\ pas\ à\ (?:me|m['’])\s?\S* | dites?[ -]moi\b | faites[ -]moi\ savoir
    | (?:souhaitez|voulez|veux)[ -](?:vous|tu)\ que\ je\b | nombre\ de\ mots\b
      | \(?(?:environ\ )?\d[\d\s.]*\ mots\)?\s*$
    | espero\ que\s(?:\S+\s){0,4}?(?:ayude|útil|sirva|guste|sea\ de) | (?:av[ií]s[ae]me|d[ií](?:me|game)
      |h[aá](?:zme|game)lo?\ saber)\b
    | (?:¿)?(?:quieres|quiere|te\ gustaría|le\ gustaría)\ que\b | n[uú]mero\ de\ palabras\b
      | \(?(?:unas\ )?\d[\d.]*\ palabras\)?\s*$
    | no\ dud(?:es|e)\ en\ (?:preguntar|pedir|decir)\w* | spero\ che\s(?:\S+\s){0,3}?(?:aiuti|utile|piaccia)
    | (?:fammi|mi\ faccia|fatemi)\ sapere\b
    | (?:vuoi|vuole|desideri|volete)\ che\b | (?:numero|conteggio)\ (?:di|delle)\ parole\b
      | \(?(?:circa\ )?\d[\d.]*\ parole\)?\s*$
    | não\ hesite\ em\ (?:perguntar|pedir|dizer|contactar)\w* | (?:diga|diz|avise|avisa)-me\b | me\ (?:diga|avise)\b
    | (?:quer|queres|gostaria)\ que\ eu\b | (?:número|contagem)\ de\ palavras\b
      | \(?(?:cerca\ de\ )?\d[\d.]*\ palavras\)?\s*$
    | espero\ que\s(?:\S+\s){0,3}?(?:ajude|goste) | wil\ je\ dat\ ik\b | aantal\ woorden\b
    | ik\ hoop\ dat\s(?:\S+\s){0,3}?(?:helpt|nuttig) | laat\ (?:me|het\ me)\ weten
    | (?:end\ of\ (?:the\ )?(?:article|blog\ ?post|post)|ende\ des\ (?:artikels|beitrags)|fin\ de\ l['’]article
      |fin\ del\ artículo|fine\ dell['’]articolo|fim\ do\ artigo|einde\ van\ het\ artikel)\b
    )""",
    re.I | re.X,
)
LABEL_LINE = re.compile(
    r"^\W{0,4}(?:title|headline|seo[ _-]?title|meta[ _-]?(?:title|description)|excerpt|slug|tags|keywords"
    r"|body|body_markdown"
    r"|titel|meta-beschreibung|schlagwörter|titre|mots-clés|méta-description|título|palabras\ clave|meta\ descripción"
    r"|titolo|parole\ chiave|meta\ descrizione|palavras-chave|meta\ descrição)"
    r"\s?\*{0,2}:\*{0,2}(?:\s|$)",
    re.I,
)
NEAR_LINK = 120  # characters: `click here` may be the text of the link to the product
RULE = re.compile(r"^\s*(?:-{3,}|\*{3,}|_{3,}|={3,})\s*$")
# The model writes about itself. This is wrong at any place, and the rest of the sentence cannot be repaired.
OF_ITSELF = re.compile(
    r"""\bas\ an?\ (?:ai|artificial\ intelligence|(?:large\ )?language\ model)\b | \bI(?:['’]m|\ am)\ an\ ai\b
    | \b(?:generated|written|created)\ (?:by|with)\ (?:an\ )?(?:ai|chatgpt)\b
    | \b(?:according\ to|based\ on|taken\ from)\ the\ (?:provided\ |given\ )?(?:source|prompt|product\ data)\b
    | \bthe\ (?:provided\ |given\ )?source\ (?:says|states|mentions|does\ not|doesn['’]t)\b
    | \b(?:laut|gemäß)\ (?:der\ |den\ )?(?:quelle|produktdaten)\b | \bdie\ quelle\ (?:sagt|nennt|gibt|erwähnt)\b
    | \b(?:selon|d['’]après)\ (?:la\ source|les\ données\ (?:du\ )?produit)\b | \bla\ source\ (?:dit|indique|précise)\b
    | \bsegún\ (?:la\ fuente|los\ datos\ del\ producto)\b | \bla\ fuente\ (?:dice|indica|menciona)\b
    | \bsecondo\ (?:la\ fonte|i\ dati\ del\ prodotto)\b | \bla\ fonte\ (?:dice|indica)\b
    | \bsegundo\ (?:a\ fonte|os\ dados\ do\ produto)\b | \ba\ fonte\ (?:diz|indica)\b
    | \bmy\ (?:training\ data|(?:last\ )?knowledge\ (?:cut-?off|update)|last\ (?:knowledge\ )?update)\b
    | \bals\ (?:eine?\ )?(?:ki|künstliche\ intelligenz|(?:ki-)?sprachmodell)\b(?!-) | \bals\ KI-\w+
    | \b(?:meine[mnrs]?\ (?:letzte[mnr]?\ )?(?:wissensstand|trainingsdaten))\b
    | \ben\ tant\ qu['’e]\s?(?:une?\ )?(?:ia|intelligence\ artificielle|modèle\ de\ langage)\b
    | \bma\ dernière\ mise\ à\ jour\b | \bmes\ données\ d['’]entraînement\b
    | \bcomo\ (?:una?\ |uma?\ )?(?:ia|intelig[eê]ncia\ artificial|modelo\ de\ (?:lenguaje|linguagem))\b
    | \bmi\ última\ actualización\b | \bminha\ última\ atualização\b | \bmio\ ultimo\ aggiornamento\b
    | \b(?:mis\ datos\ de\ entrenamiento|meus\ dados\ de\ treino|miei\ dati\ di\ addestramento)\b
    | \bcome\ (?:ia|intelligenza\ artificiale|modello\ (?:linguistico|di\ linguaggio))\b | \bals\ (?:ai-)?taalmodel\b
    | \bmijn\ laatste\ update\b
    | \bI(?:['’]m|\ am)\ (?:sorry|afraid|unable)[^.!?\n]{0,40}\b(?:can['’]?t|cannot|unable|not\ able)\b
    | \bI\ (?:can['’]t|cannot|won['’]t)\ (?:help|assist|write|create|fulfil\w*|comply)\b
    | \bes\ tut\ mir\ leid[^.!?\n]{0,60}\b(?:kann|darf)\b
    | \b(?:kann|darf)\ ich\ (?:leider\ )?nicht\ (?:helfen|schreiben)\b
    | \bje\ (?:suis\ désolée?|regrette)[^.!?\n]{0,60}\bne\ (?:peux|puis)\b
    | \bje\ ne\ peux\ pas\ (?:vous\ |t['’])?aider\b
    | \b(?:lo\ siento|lamento)[^.!?\n]{0,60}\bno\ puedo\b | \bno\ puedo\ ayudar\w*\b
    | \bmi\ (?:dispiace|scuso)[^.!?\n]{0,60}\bnon\ posso\b | \bnon\ posso\ aiutar\w*\b
    | \b(?:lamento|desculpe|sinto\ muito)[^.!?\n]{0,60}\bnão\ posso\b | \bnão\ posso\ ajudar\b
    | \b(?:sorry|het\ spijt\ me)[^.!?\n]{0,60}\bkan\ ik\b
    | \b(?:body_markdown|seo_description|seo_title|image_prompt|image_alt|search_intent|forbidden_words|brand_words)\b
    | \b(?:according\ to|in)\ the\ (?:provided\ |given\ )?(?:<?source>?|brief|prompt)(?:\ block|\ data|\ provided)\b
    | \b(?:based\ on\ the\ (?:provided|given)\ (?:information|source|details)|per\ your\ instructions
      |as\ requested\ in\ the\ prompt)\b""",
    re.I | re.X,
)
# A request to the visitor of a page. A post has no button, no form and no list of subscribers.
OF_A_PAGE = re.compile(
    r"""\bclick\ (?:here|below|the\ (?:link|button))\b | \bsubscribe\ to\ (?:our|the|my)\b
    | \bsign\ up\ (?:below|for\ our)\b
    | \bklicken\ sie\ (?:hier|unten|auf)\b | \bklick\ (?:hier|unten)\b | \babonnieren\ sie\b
    | \bcliquez\ (?:ici|ci-dessous|sur)\b | \babonnez-vous\b
    | \bhaga\ clic\b | \bhaz\ clic\b | \bsuscríb(?:a|e)(?:se|te)\b
    | \bclic(?:ca|cate|chi)\ (?:qui|sul|sulla)\b | \biscriv(?:iti|etevi|a)\b[^.!?\n]{0,20}\bnewsletter\b
    | \bcli(?:que|ca|ck)\ (?:aqui|no|em)\b | \b(?:subscreva|assine|inscreva-se)\b[^.!?\n]{0,20}\bnewsletter\b
    | \bklik\ (?:hier|op)\b | \babonneer\ je\b""",
    re.I | re.X,
)
LABEL_HEADINGS = (
    r"introduction|intro|conclusions?|summary|in conclusion|final (?:thoughts|words)"
    r"|closing(?: thoughts)?|wrap(?:ping)?[ -]?up"
    r"|opening|overview|main (?:part|body|content)|body|outline|section|part|chapter|blog ?post"
    r"|the bottom line|in summary"
    r"|einleitung|einführung|fazit|schluss(?:wort|folgerung)?|zusammenfassung|abschnitt|teil|kapitel"
    r"|hauptteil|überblick"
    r"|conclusion|en (?:conclusion|résumé|bref)|résumé|section|partie|chapitre|corps|développement"
    r"|introducción|conclusi(?:ón|ones)|resumen|en (?:conclusión|resumen)|sección|parte|capítulo|cuerpo|desarrollo"
    r"|introduzione|conclusion[ei]|riassunto|introdução|conclusão|resumo|inleiding|conclusie|samenvatting"
)
HEADING = re.compile(
    rf"^( {{0,3}}#{{1,6}}[ \t]+)([^\w\n]{{0,3}}(?:{LABEL_HEADINGS})(?:[ ]\d{{1,2}}|[ ][IVX]{{1,4}})?)[ \t]*[*_]{{0,2}}"
    r"(?:(?::[ \t]*|[ \t][–—-][ \t]+)[*_]{0,2}(.*)|[.!*_# \t]*)$",
    re.I | re.M,
)


def without_remarks(text: str, context: PostContext) -> str:
    """Remove the remarks of the model at the start and the end of the Markdown."""
    parts = BETWEEN_BLOCKS.split(text.strip())
    blocks = parts[::2]
    start, end, rest = 0, len(blocks), ""
    while start < end and (RULE.match(blocks[start]) or not (rest := _without_first_remarks(blocks[start]))):
        start += 1
    if start < end:
        blocks[start] = rest
    while end > start and (RULE.match(blocks[end - 1]) or not (rest := _without_last_remarks(blocks[end - 1]))):
        end -= 1
    if end > start:
        blocks[end - 1] = rest
    if blocks == parts[::2] and (start, end) == (0, len(blocks)):
        return text
    return "\n\n".join(blocks[start:end])


def _without_first_remarks(block: str) -> str:
    """Remove the remarks at the start of a block, and lines with a label such as `Title:`."""
    lines = block.split("\n")
    while lines and LABEL_LINE.match(lines[0]):
        lines.pop(0)
    pieces = sentences("\n".join(lines))
    while pieces and (remark := BEGINS.match(pieces[0].lstrip())):
        pieces[0] = pieces[0].lstrip()[remark.end() :].lstrip(" *:\n")
        if not pieces[0].strip(" *_:.!"):
            pieces.pop(0)
    return "".join(pieces)


def _without_last_remarks(block: str) -> str:
    pieces = sentences(block)
    while pieces and (ENDS.match(pieces[-1].strip()) or LABEL_LINE.match(pieces[-1])):
        pieces.pop()
    return "".join(pieces).rstrip() if pieces else ""


def line_without_remark(text: str, context: PostContext) -> str:
    """Do the same as `without_remarks` for a field of one line."""
    if (found := BEGINS.match(text)) and (rest := text[found.end() :].lstrip(' :!.–-\n"')):
        text = rest
    pieces = sentences(text)
    while len(pieces) > 1 and ENDS.match(pieces[-1].strip()):
        pieces.pop()
    return "".join(pieces).rstrip() if len(pieces) < len(sentences(text)) else text


def of_itself(text: str, context: PostContext) -> str:
    found = matches(OF_ITSELF, text)
    return found[0][0] if found and not context.source_has(found[0][0]) else ""


def of_a_page(text: str, context: PostContext) -> str:
    for found in matches(OF_A_PAGE, text):
        links = context.own_url and context.own_url in text[found.start() : found.start() + NEAR_LINK]
        if not links and not context.source_has(found[0]):
            return found[0]
    return ""


def unlabelled(text: str, context: PostContext) -> str:
    """Remove labels such as `Introduction:` from headings, and headings that are only a label."""

    def heading(found: re.Match[str]) -> str:
        rest = (found[3] or "").strip(" *_#")
        return f"{found[1]}{rest[:1].upper()}{rest[1:]}" if rest else ""

    return re.sub(r"\n{3,}", "\n\n", HEADING.sub(heading, text)) if HEADING.search(text) else text
