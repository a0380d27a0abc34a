"""The characters that are emoji, and what an emoji leaves behind."""

import re

# Characters that are pictures by default, and any character with an emoji selector. ✓, ★ and ° are text.
PICTURE = (
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[\U0001f004\U0001f0cf\U0001f170-\U0001f251\U0001f300-\U0001faff\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653"
    "\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b"
    "\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55]\ufe0f?"
    "|[\u00a9\u00ae\u203c-\u3299]\ufe0f|[0-9#*]\ufe0f?\u20e3)[\U0001f3fb-\U0001f3ff]?\ufe0f?"
)
EMOJI = re.compile(f"(?:{PICTURE})(?:\u200d(?:{PICTURE}|[\u2190-\u2bff]\ufe0f?))*")
JOINING = "\u0600-\u1cff\ua800-\uabff\U00010a00-\U00011fff"  # scripts with joiners, such as Persian and Hindi
REMAINDER = f"\ufe0f|(?<![{JOINING}])\u200d(?![{JOINING}])"  # a selector or joiner without its emoji
EMOJI_OR_REMAINDER = re.compile(f"{EMOJI.pattern}|{REMAINDER}")
