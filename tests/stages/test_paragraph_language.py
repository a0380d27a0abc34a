"""A paragraph or a sentence in another language is found; names, titles and quotations in it are not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post import render
from blogworker.post.defects.sentences import sentences
from blogworker.post.judging import Post, faults_of
from blogworker.post.paragraph_language import MORE_COMMON, SENTENCE_STOP_WORDS, paragraph_in_other_language
from blogworker.post.site import SiteSettings

from .good_posts import BODIES, FIELDS, LANGUAGES
from .good_posts import good as good_post

FOREIGN = {
    "en": [
        "What belongs beside this is told in [Bothy evenings](https://shop.example/post/bothy).",
        "Please read the care label before you wash it for the first time.",
        "There is no reason to buy more than one of them.",
    ],
    "de": [
        "Bitte lesen Sie zuerst, was auf dem Etikett steht, und waschen Sie es dann mit der Hand.",
        "Was dazu gehört, ist hier nicht zu sehen.",
    ],
    "fr": [
        "Avant de le laver, lisez ce qui est écrit sur une des étiquettes.",
        "Il ne faut pas plus que cela pour une tasse.",
    ],
    "es": [
        "Antes de lavarlo por primera vez, lea lo que dice la etiqueta y el envase.",
        "No hay más que decir sobre una taza como esta.",
    ],
}
NAMES = [
    "The North Face for the Home",
    "*What the Water Said to the Stone*",
    "„The mug that is not for you“",
    "“Das ist nicht für dich”",
    "«Lo que no se ve en la casa»",
    "[How to season a pan before the first use](https://shop.example/post/how-to-season-the-pan-for-you)",
    "`for the in and of this`",
]
PARAGRAPHS = {
    language: [block for block in BODIES[language].split("\n\n") if not re.match(r"[#>|`]", block)]
    for language in LANGUAGES
}


@pytest.mark.parametrize("foreign", LANGUAGES)
@pytest.mark.parametrize("language", [*LANGUAGES, "it", "pt-BR", "nl", "sv", "pl"])
def test_one_foreign_sentence_is_found(language: str, foreign: str) -> None:
    for sentence in FOREIGN[foreign] if foreign != language else ():
        own = PARAGRAPHS.get(language, [""])
        alone, within = [*own, sentence], [f"{own[0]} {sentence}", *own[1:]]

        assert paragraph_in_other_language(alone, language)[1] == foreign
        assert paragraph_in_other_language(within, language)[1] == foreign


@given(language=st.sampled_from(LANGUAGES), name=st.sampled_from(NAMES), data=st.data())
def test_a_name_or_a_title_in_a_sentence_is_not_a_foreign_sentence(
    language: str, name: str, data: st.DataObject
) -> None:
    sentence = data.draw(
        st.sampled_from([part for text in PARAGRAPHS[language] for part in sentences(text) if len(part.split()) > 5])
    )
    words = sentence.split()
    place = data.draw(st.integers(1, len(words) - 1))

    assert paragraph_in_other_language([" ".join([*words[:place], name, *words[place:]])], language) == ("", "")
    assert paragraph_in_other_language([name], language) == ("", "")


@given(st.sampled_from([*MORE_COMMON]), st.data())
def test_common_words_of_the_language_are_never_foreign(language: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(sorted(SENTENCE_STOP_WORDS[language])), min_size=6, max_size=12))

    assert paragraph_in_other_language([" ".join(words)], language) == ("", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_sentences_of_a_post_are_foreign_in_another_language(language: str) -> None:
    read = [part for line in render.text(BODIES[language]).split("\n") for part in sentences(line)]
    long = [part for part in read if len(part.split()) >= 6]
    found = [part for part in long if paragraph_in_other_language([part], "en" if language != "en" else "de")[0]]

    assert len(found) > len(long) / 2
    assert not any(paragraph_in_other_language([part], language)[0] for part in read)


def test_a_post_with_a_foreign_sentence_is_sent_back() -> None:
    post = Post.model_validate(good_post("de") | FIELDS["de"] | {"body_markdown": BODIES["de"]})

    def names(body: str) -> list[str]:
        return [fault.name for fault in faults_of(post, body, words=900, own_url="", site=SiteSettings(language="de"))]

    assert names(BODIES["de"]) == []
    assert names(f"{BODIES['de']}\n\n{FOREIGN['en'][1]}") == ["paragraph in another language"]
