"""Finds a paragraph or a sentence in another language than the rest of a post.

A sentence has few common words. So more of them are known here, and none may be of the language of the post alone.
"""

import re
from collections.abc import Iterable

from blogworker.post.defects.sentences import sentences
from blogworker.post.language import CLEARLY, STOP_WORDS, common_counts

LEAST_IN_PARAGRAPH = 6
SENTENCE_WORDS, LEAST_IN_SENTENCE, LEAST_SHARE = 6, 3, 0.25  # words; common words, and their share
# More common words, with which a single sentence has enough of them.
MORE_COMMON = {
    "en": "a an no in on at by as be was were been or if so do does can what who how why where there they them their "
    "our we its it's these those before after about into more most other some any all each every only also "
    "here first while should would could may must over under out up off please because until then than one "
    "beside between without",
    "de": "im am an in aus bei bis durch gegen nach noch nur ohne schon sehr sind so über um und uns unter vom vor "
    "war wenn wer wird zum zur als aber da dann dass doch er ihr ihre ihnen kann man mehr einen einem einer "
    "eines keine kein was weil wo diese dieser dieses jede jeder alle hier hat haben sein seine ob beim immer "
    "soll muss",
    "fr": "de un du des en à au aux ne se sa son ses leur leurs il elle on nous ils elles y ou où si comme quand sans "
    "sous entre chez même aussi bien très tout toute tous fait être a ont peut faut par plus moins encore ces "
    "votre vos d l c qu n s j jusqu avant après dont lui quoi ici là puis donc car",
    "es": "a o u al lo le les me mi tu sus es son ser está están fue hay sin sobre entre hasta desde cuando donde "
    "quien muy ya si sí ni también porque esta este estos estas eso esto todo toda todos cada otro otra unos "
    "unas ella ellos puede tiene hace antes después mejor bien qué cómo dos solo nos usted",
    "it": "i lo gli l un uno a al alla alle ai dai dal dalla dei delle dell della degli in nei nella nelle sul "
    "sulla su tra fra da e o ma se chi cui dove quando perché questo questa questi queste quello quella ha "
    "hanno sono essere molto poi già ogni tutto tutti suo sua senza prima dopo si ci ne può anche solo bene",
    "pt": "a à às ao aos dos das nos nas num numa pelo pela pelos pelas ou nem se sem sob sobre entre até desde "
    "quando onde quem muito já também porque esta este estes estas isso isto todo toda todos cada outro outra "
    "uns umas ela eles pode tem faz antes depois melhor bem são ser está foi há seu sua só você no",
    "nl": "ze hij zij we wij ik er om uit door over onder tussen tegen tot nog wel geen dit deze die heeft hebben "
    "wordt worden kan moet zich naar dan want waar wie wat hoe waarom elke alle al zo na hun haar mijn onze "
    "zonder",
}
LINKED_OR_QUOTED = re.compile(  # names and titles: they keep their language
    r"!?\[[^\]\n]*\](?:\(<?[^)\n]*\))?|https?://\S+|`[^`\n]*`|\*[^*\n]{1,80}\*+|(?<!\w)_[^_\n]{1,80}_|[„“«\"»][^„“”«»\"\n]{1,120}[“”»«\"]"
)
SENTENCE_STOP_WORDS = {
    language: words.union(MORE_COMMON.get(language, "").split()) for language, words in STOP_WORDS.items()
}


def paragraph_in_other_language(paragraphs: Iterable[str], language: str) -> tuple[str, str]:
    """Return the first paragraph or sentence that is clearly in another language, and that language; otherwise empty
    texts."""
    wanted = language.lower().partition("-")[0]
    for paragraph in paragraphs if wanted in STOP_WORDS else ():
        read = LINKED_OR_QUOTED.sub(" ", paragraph)
        words = re.findall(r"[^\W\d_]+", read.lower())
        counts = common_counts(words)
        best = max(counts, key=lambda tag: counts[tag])
        if counts[best] >= max(LEAST_IN_PARAGRAPH, CLEARLY * counts[wanted]):
            return paragraph, best
        for sentence in sentences(read):
            if tag := _language_of_sentence(sentence, wanted):
                return sentence.strip(), tag
    return "", ""


def _language_of_sentence(sentence: str, wanted: str) -> str:
    """Return the language of a sentence that has common words of it, and none that only `wanted` has.

    Names do not count: of the words in the sentence with a capital, only the first is read.
    """
    words = re.findall(r"[^\W\d_]+", sentence)
    read = {word.lower() for word in words[:1]} | {word for word in words[1:] if word.islower()}
    own = SENTENCE_STOP_WORDS[wanted]
    if len(words) < SENTENCE_WORDS:
        return ""
    best = max(MORE_COMMON, key=lambda tag: len(read & (SENTENCE_STOP_WORDS[tag] - own)))
    others = SENTENCE_STOP_WORDS[best]
    found = sum(word.lower() in others - own for word in words if word.lower() in read)
    is_clear = len(read & (others - own)) >= LEAST_IN_SENTENCE and found >= LEAST_SHARE * len(words)
    return best if is_clear and not read & (own - others) else ""
