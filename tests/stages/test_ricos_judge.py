"""Our rich content before an outside judge: the validator that Wix itself publishes. It is asked where Node is."""

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.post.draft import draft_of
from blogworker.post.prompts import POST, fenced
from blogworker.post.ricos import ricos
from blogworker.post.ricos_rules import CHILDREN, DATA, DECORATIONS, ricos_faults
from blogworker.post.ricos_size import compact
from blogworker.simulator import ricos_rules as simulated
from blogworker.simulator.writer import Quality, write
from blogworker.stages.content import read_post

from .conftest import PRODUCT, idea
from .judge import Judge, NoJudge, sitting
from .markdown import BLOCKS, OWN, PICTURES, paragraph, text_node

FIXED = [
    "a **b** *c* ***d*** `e` [f](https://shop.example/mug) ![own](https://own.example/p.jpg) <b>g</b>",
    "# a\n## b\n###### c\n\nd\n===",
    "- a\n  - b\n    1. c\n\n       d\n- # e\n- > f\n- ---\n- ```\n  g\n  ```",
    "> a\n>\n> b  \n> c\n>\n> - d\n>\n> | e | f |\n> |---|---|\n> | g | h |",
    "| a | b |\n|:--|--:|\n| **c** | `d` |\n| | ![own](https://own.example/p.jpg) |",
    "```py\nif a:\n\tb\n\n\nc\n```\n\n    d\n\n***",
    "- " * 200 + "a",
    "> " * 40 + "a",
]
EACH_ONCE = "".join(
    [
        f"## a\n***b*** [f]({OWN}) ![own](https://own.example/p.jpg)\n\n- c\n  1. d\n\n> e\n\n",
        "| f |\n|--:|\n| g |\n\n---\n\n```\nh\ni\n```",
    ]
)
# What Wix's schema lets pass, and we refuse all the same.
OURS = (
    "document must not be empty",
    "heading level",
    "text must not contain a line break",
    "an image needs",  # its size; and an id that is not empty
    "a link needs",  # a url that is not empty
    "duplicate id",
    "rows of a table must have the same length",
    "nested deeper",
)
SIMULATED = ("UNIQUE", "INVALID_CHARACTER", "MAX_DEPTH", "INVALID_SIZE", "INVALID_VALUE", "REQUIRED_FIELD")
KINDS = sorted({*CHILDREN, *DATA, "LIST_ITEM", "TABLE_ROW", "VERSE"} - {"document"})
VALUES = [None, True, 0, -1, 1.5, 2**40, "", "x\ny", [], ["a"], [-1], {}, {"a": 1}]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    cache = getattr(request.config, "cache", None)
    try:
        with sitting(cache.mkdir("ricos-judge") if cache else tmp_path_factory.mktemp("judge")) as judge:
            yield judge
    except NoJudge as why:
        pytest.skip(f"no outside judge: {why}")


def document(markdown: str) -> dict[str, Any]:
    return ricos(f"opening\n\n{markdown}", own_url=OWN, pictures=PICTURES)


@pytest.mark.parametrize("markdown", FIXED)
def test_every_form_of_writing_is_accepted(judge, markdown):
    assert judge.faults(document(markdown)) == []


@settings(max_examples=300)
@given(markdown=BLOCKS)
def test_any_text_is_accepted(judge, markdown):
    """As it is, and with all left out that a post too large goes without."""
    written = document(markdown)

    assert judge.faults(written) == []
    assert judge.faults({"nodes": [compact(node) for node in written["nodes"]]}) == []


@pytest.mark.parametrize("subject", ["product", "keyword"])
def test_the_posts_of_a_simulated_run_are_accepted(judge, subject):
    """From the writer's answer to the draft that Wix gets."""
    things = [PRODUCT | {"kind": "product", "name": f"Low Water Mug {n}"} for n in range(60)]
    phrases = [{"kind": "keyword", "keyword": f"linen curtains in room {n}", "url": ""} for n in range(60)]
    for source in things if subject == "product" else phrases:
        prompt = f"{fenced('source', source)}\n\n{fenced('idea', idea())}"
        answer = write(prompt, POST.schema, seed=1, repetition=1, quality=Quality.GOOD)
        content = read_post(json.dumps(answer), source=source, idea=idea())

        draft = draft_of(content, member_id="m", language="en", keywords=[])

        assert judge.faults(draft["richContent"]) == []


@pytest.mark.parametrize(
    "nodes",
    [
        [text_node()],
        [paragraph(text_node(""))],
        [paragraph(colour="red")],
        [{"type": "VERSE", "nodes": []}],
        [{"type": "BLOCKQUOTE", "nodes": [paragraph(), paragraph()]}],
        [{"type": "TABLE", "nodes": [{"type": "TABLE_ROW", "nodes": [paragraph()]}]}],
        [{"type": "BULLETED_LIST", "nodes": [{"type": "LIST_ITEM", "nodes": [paragraph()], "listItemData": {}}]}],
    ],
)
def test_the_judge_refuses_what_is_wrong(judge, nodes):
    """A judge who cannot say no proves nothing; and what he refuses, we and the simulator must refuse."""
    assert judge.faults({"nodes": nodes})
    assert ricos_faults({"nodes": nodes})
    assert simulated.violations({"nodes": nodes})


def spots(value: Any, holder: str = "document", name: str = "") -> Iterator[tuple[tuple[str, ...], list[Any], Any]]:
    """Every object and list of a document below it: what it is, the way to it, itself."""
    if isinstance(value, dict):
        kind = str(value.get("type", ""))
        yield (holder, name, kind), [], value
        below, holder = list(value.items()), kind or holder
    else:
        yield (holder, name, "list"), [], value
        below = list(enumerate(value))
    for key, inner in below:
        if isinstance(inner, dict | list):
            for what, way, found in spots(inner, holder, name if isinstance(key, int) else key):
                yield what, [key, *way], found


def spoilt_once(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document with one thing wrong, or not wrong: each change that can be made to one place of each sort."""
    found = sorted(spots(whole), key=lambda spot: len(spot[2]))  # the fullest of each sort comes last, and is taken
    fields, nodes = names_in(found), [nameless(node) for node in {what[2]: node for what, _, node in found}.values()]
    written = json.dumps(whole)
    for way in {what: way for what, way, _ in found}.values():
        for change in changes(at(whole, way), fields, nodes):
            copy = json.loads(written)
            spoil(at(copy, way), change)
            yield copy


def names_in(found: list[Any]) -> list[str]:
    return sorted({name for *_, place in found if isinstance(place, dict) for name in place} | {"style", "colour"})


def nameless(value: Any) -> Any:
    """A copy that may stand beside its original: without ids, which must not be there twice."""
    if isinstance(value, list):
        return [nameless(entry) for entry in value]
    if isinstance(value, dict):
        return {name: nameless(entry) for name, entry in value.items() if (name, "type" in value) != ("id", True)}
    return value


def at(value: Any, way: list[Any]) -> Any:
    for step in way:
        value = value[step]
    return value


def changes(place: dict[str, Any] | list[Any], fields: list[str], nodes: list[Any]) -> Iterator[tuple[Any, ...]]:
    """What can be done to an object or a list: the method, and with what."""
    if isinstance(place, list):
        yield from (("insert", end, entry) for end in {0, len(place)} for entry in [*VALUES, *nodes])
        yield from (("pop", index) for index in range(min(2, len(place))))
        yield ("clear",)
        return
    yield from (("pop", name) for name in place)
    yield from (("__setitem__", name, value) for name in place for value in VALUES)
    yield from (("__setitem__", name, 1) for name in fields if name not in place)
    if "type" in place:
        yield from (("__setitem__", "type", kind) for kind in [*KINDS, *DECORATIONS])


def spoil(place: dict[str, Any] | list[Any], change: tuple[Any, ...]) -> None:
    method, *arguments = deepcopy(change)
    getattr(place, method)(*arguments)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A document with several things wrong."""
    whole = deepcopy(document(draw(st.one_of(BLOCKS, st.sampled_from(FIXED)))))
    for _ in range(draw(st.integers(1, 3))):
        found = list(spots(whole))
        place = draw(st.sampled_from([place for *_, place in found]))
        nodes = [node for *_, node in found if isinstance(node, dict)]
        spoil(place, draw(st.sampled_from(list(changes(place, names_in(found), nodes)))))
    return whole


def needless(whole: dict[str, Any]) -> list[str]:
    """What we hold against a document that is valid."""
    simulated_ones = [f"{v.field}: {v.description}" for v in simulated.violations(whole) if v.rule not in SIMULATED]
    return simulated_ones + [fault for fault in ricos_faults(whole) if not any(told in fault for told in OURS)]


@pytest.mark.timeout(240)  # five thousand documents: seconds, minutes on a busy machine
def test_each_single_fault_is_judged_as_wix_would(judge):
    """What Wix refuses is refused here, before it costs an attempt; what we refuse beyond that, we do on purpose.

    And a simulated Wix that lets pass what the real one refuses would hide a bug until it is live.
    """
    apart, verdicts = [], Counter()
    for whole in spoilt_once(document(EACH_ONCE)):
        theirs = judge.faults(whole)
        verdicts[bool(theirs)] += 1
        if theirs:
            apart += [("we let pass", theirs)] if not ricos_faults(whole) else []
            apart += [("the simulated Wix lets pass", theirs)] if not simulated.violations(whole) else []
        elif found := needless(whole):
            apart.append(("refused for nothing", found))

    assert apart == []
    assert min(verdicts[True], verdicts[False]) > 100


@settings(max_examples=150)
@given(whole=spoilt())
def test_documents_with_many_faults_are_judged_alike(judge, whole):
    if judge.faults(whole):
        assert ricos_faults(whole)
        assert simulated.violations(whole)
    else:
        assert needless(whole) == []
