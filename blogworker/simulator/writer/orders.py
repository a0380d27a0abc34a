"""Orders that a prompt gives outside the blocks that hold data: this writer obeys them, as a gullible model would.

What stands inside `<tag>` and `</tag>` is data and moves nobody. So a description that closes its own block, or is put
where instructions stand, shows in the post.
"""

import re

BLOCK = re.compile(r"^<(\w+)>$.*?</\1>", re.S | re.M)
ORDER = re.compile(
    r"[^\n]*\b(?:ignor\w*|disregard|forget|override|vergiss|oublie\w*|olvida|system\s*(?:prompt|message|:)|jailbreak"
    r"|developer mode|new instructions?|you are now|assistant\s*:|https?://)[^\n]*",
    re.I,
)


def order_in(prompt: str) -> str:
    """The first line outside of all blocks that reads like an order of somebody who has no say; or nothing."""
    found = ORDER.search(BLOCK.sub("", prompt))
    return found[0].strip() if found else ""
