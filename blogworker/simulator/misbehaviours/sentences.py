"""Sentences that do not belong in a post: placeholders, remarks about the answer, claims without a source."""

from blogworker.simulator.misbehaviours.draft import Draft

FENCE = "---"
REASONING = (
    "<think>\nOkay, the user wants a blog post about {name}. The outline has several sections. I should keep it warm "
    "and mention the product two to four times.\n</think>"
)
WRONG_SIGN = {True: "$", False: "€"}  # by whether the price is not in US dollars


def square_placeholder(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("square"))


def curly_placeholder(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("curly"))


def printf_placeholder(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("printf"))


def angle_placeholder(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("angle"))


def underscore_placeholder(draft: Draft) -> None:
    draft.add_sentence(-1, draft.phrase("underscores"))


def template_tag(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("template"))


def remark_before(draft: Draft) -> None:
    draft.insert(0, draft.phrase("before"), FENCE)
    draft.post["excerpt"] = f"{draft.phrase('before_too')} {draft.post['excerpt']}"


def remark_after(draft: Draft) -> None:
    draft.body += f"\n\n{FENCE}\n\n{draft.phrase('after')}"


def offer_after(draft: Draft) -> None:
    draft.body += f"\n\n{draft.phrase('after_too')}"


def word_count(draft: Draft) -> None:
    draft.body += f"\n\n*{draft.phrase('counted')}*"


def thoughts(draft: Draft) -> None:
    draft.insert(0, REASONING.format(name=draft.name))


def field_labels(draft: Draft) -> None:
    draft.post["title"] = f"{draft.phrase('label_title')}{draft.post['title']}"
    draft.post["excerpt"] = f"{draft.phrase('label_excerpt')}{draft.post['excerpt']}"
    draft.insert(0, f"**{draft.phrase('label_title').strip()}** {draft.post['title']}")


def picture_of(draft: Draft) -> None:
    draft.post["image_alt"] = f"{draft.phrase('image_of')}{draft.post['image_alt']}"


def refusal(draft: Draft) -> None:
    draft.insert(2, draft.phrase("refusal"))


def refusal_alone(draft: Draft) -> None:
    for field in ("body_markdown", "excerpt", "title", "seo_title", "seo_description", "image_alt"):
        draft.post[field] = draft.phrase("refusal")


def itself(draft: Draft) -> None:
    draft.add_sentence(-1, draft.phrase("itself"))


def knowledge_date(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("date"))


def call_to_click(draft: Draft) -> None:
    draft.body += f"\n\n{draft.phrase('click')}"


def foreign_address(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("address"))
    draft.post["seo_description"] = f"{draft.post['seo_description']} {draft.phrase('mail')}"


def foreign_mail(draft: Draft) -> None:
    draft.add_sentence(-1, draft.phrase("mail"))


def price(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("price"))


def currency(draft: Draft) -> None:
    """The price of the source with the sign of another currency."""
    amount = str(draft.source.get("price") or "").partition(" to ")[0]
    sign = WRONG_SIGN[draft.source.get("currency") != "USD"]
    shown = amount if draft.language == "en" else amount.replace(".", ",")
    draft.add_sentence(1, draft.phrase("currency", amount=shown, sign=sign))


def measure(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("measure"))


def material(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("material"))


def count(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("count"))


def discount(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("discount"))


def award(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("award"))


def rating(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("rating"))


def guarantee(draft: Draft) -> None:
    draft.add_sentence(1, draft.phrase("guarantee"))


def study(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("study"))


def quotation(draft: Draft) -> None:
    draft.add_sentence(0, draft.phrase("quotation"))
