"""What a paid answer holds. The SDK checks none of it, and its own properties fail on what its types do not foresee."""

from openai.types.responses import Response

from blogworker.prices import Usage


def text_of(response: Response) -> str:
    """All that was written."""
    texts = [getattr(part, "text", None) for part in _parts(response) if getattr(part, "type", None) == "output_text"]
    return "".join(text for text in texts if isinstance(text, str))


def refusal_of(response: Response) -> str | None:
    for part in _parts(response):
        if getattr(part, "type", None) == "refusal":
            return str(getattr(part, "refusal", None) or "no reason given")
    return None


def usage_of(response: Response) -> Usage:
    details = getattr(response.usage, "input_tokens_details", None)
    return Usage(
        tokens_in=_tokens(response.usage, "input_tokens"),
        cached=_tokens(details, "cached_tokens"),
        written=_tokens(details, "cache_write_tokens"),
        tokens_out=_tokens(response.usage, "output_tokens"),
    )


def tier_of(response: Response) -> str | None:
    """The service tier it was really made in, and is billed by."""
    tier = getattr(response, "service_tier", None)
    return tier if isinstance(tier, str) else None


def _tokens(told: object, name: str) -> int:
    count = getattr(told, name, None)
    return count if isinstance(count, int) and count > 0 else 0


def _parts(response: Response) -> list[object]:
    contents = [getattr(item, "content", None) for item in response.output if getattr(item, "type", None) == "message"]
    return [part for content in contents if isinstance(content, list) for part in content]
