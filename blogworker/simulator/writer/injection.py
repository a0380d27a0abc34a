"""Prompt injection: the writer obeys instructions outside of data blocks, so that tests can find unfenced data.

Text between `<tag>` and `</tag>` is data, and instructions in it are ignored. If a description closes its block, or is
put outside of a block, its instruction appears in the post.
"""

import re

BLOCK = re.compile(r"^<(\w+)>$.*?</\1>", re.S | re.M)
INSTRUCTION = re.compile(
    r"[^\n]*\b(?:ignor\w*|disregard|forget|override|vergiss|oublie\w*|olvida|system\s*(?:prompt|message|:)|jailbreak"
    r"|developer mode|new instructions?|you are now|assistant\s*:|https?://)[^\n]*",
    re.I,
)


def injected_instruction(prompt: str) -> str:
    """The first line outside of all blocks that looks like an injected instruction; empty if there is none."""
    found = INSTRUCTION.search(BLOCK.sub("", prompt))
    return found[0].strip() if found else ""
