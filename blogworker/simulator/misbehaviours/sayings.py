"""Sentences that have no place in a post: places to fill in, remarks about the answer, claims that nobody made."""

from blogworker.simulator.misbehaviours.draft import Draft

FENCE = "---"
THOUGHT = (
    "<think>\nOkay, the user wants a blog post about {name}. The outline has several sections. I should keep it warm "
    "and mention the product two to four times.\n</think>"
)
AS_SAID = {True: "$", False: "€"}


def square_placeholder(draft: Draft) -> None:
    draft.say(0, draft.said("square"))


def curly_placeholder(draft: Draft) -> None:
    draft.say(0, draft.said("curly"))


def printf_placeholder(draft: Draft) -> None:
    draft.say(0, draft.said("printf"))


def angle_placeholder(draft: Draft) -> None:
    draft.say(0, draft.said("angle"))


def underscore_placeholder(draft: Draft) -> None:
    draft.say(-1, draft.said("underscores"))


def template_tag(draft: Draft) -> None:
    draft.say(1, draft.said("template"))


def remark_before(draft: Draft) -> None:
    draft.insert(0, draft.said("before"), FENCE)
    draft.post["excerpt"] = f"{draft.said('before_too')} {draft.post['excerpt']}"


def remark_after(draft: Draft) -> None:
    draft.body += f"\n\n{FENCE}\n\n{draft.said('after')}"


def offer_after(draft: Draft) -> None:
    draft.body += f"\n\n{draft.said('after_too')}"


def word_count(draft: Draft) -> None:
    draft.body += f"\n\n*{draft.said('counted')}*"


def thoughts(draft: Draft) -> None:
    draft.insert(0, THOUGHT.format(name=draft.name))


def field_labels(draft: Draft) -> None:
    draft.post["title"] = f"{draft.said('label_title')}{draft.post['title']}"
    draft.post["excerpt"] = f"{draft.said('label_excerpt')}{draft.post['excerpt']}"
    draft.insert(0, f"**{draft.said('label_title').strip()}** {draft.post['title']}")


def picture_of(draft: Draft) -> None:
    draft.post["image_alt"] = f"{draft.said('image_of')}{draft.post['image_alt']}"


def refusal(draft: Draft) -> None:
    draft.insert(2, draft.said("refusal"))


def refusal_alone(draft: Draft) -> None:
    for field in ("body_markdown", "excerpt", "title", "seo_title", "seo_description", "image_alt"):
        draft.post[field] = draft.said("refusal")


def itself(draft: Draft) -> None:
    draft.say(-1, draft.said("itself"))


def knowledge_date(draft: Draft) -> None:
    draft.say(1, draft.said("date"))


def call_to_click(draft: Draft) -> None:
    draft.body += f"\n\n{draft.said('click')}"


def foreign_address(draft: Draft) -> None:
    draft.say(0, draft.said("address"))
    draft.post["seo_description"] = f"{draft.post['seo_description']} {draft.said('mail')}"


def foreign_mail(draft: Draft) -> None:
    draft.say(-1, draft.said("mail"))


def price(draft: Draft) -> None:
    draft.say(1, draft.said("price"))


def currency(draft: Draft) -> None:
    """The right amount in another currency than that of the source."""
    amount = str(draft.source.get("price") or "").partition(" to ")[0]
    sign = AS_SAID[draft.source.get("currency") != "USD"]
    shown = amount if draft.language == "en" else amount.replace(".", ",")
    draft.say(1, draft.said("currency", amount=shown, sign=sign))


def measure(draft: Draft) -> None:
    draft.say(1, draft.said("measure"))


def material(draft: Draft) -> None:
    draft.say(1, draft.said("material"))


def count(draft: Draft) -> None:
    draft.say(1, draft.said("count"))


def discount(draft: Draft) -> None:
    draft.say(1, draft.said("discount"))


def award(draft: Draft) -> None:
    draft.say(1, draft.said("award"))


def rating(draft: Draft) -> None:
    draft.say(1, draft.said("rating"))


def guarantee(draft: Draft) -> None:
    draft.say(1, draft.said("guarantee"))


def study(draft: Draft) -> None:
    draft.say(0, draft.said("study"))


def quotation(draft: Draft) -> None:
    draft.say(0, draft.said("quotation"))
