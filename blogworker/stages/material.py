"""What a model reads of a source, and a digest of it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from blogworker.post.prompts import IDEAS
from blogworker.stages.records import Output

NOT_FOR_MODELS = ("product_id", "image", "handle", "no_link")
DIGEST_LENGTH = 24


def material(source: Mapping[str, Any]) -> Output:
    """The part of a source that a model reads: all known facts but those that are for us alone."""
    return {word: value for word, value in source.items() if value not in (None, "", []) and word not in NOT_FOR_MODELS}


def digest(source: Mapping[str, Any]) -> str:
    """A digest of all that ideas depend on: what the model reads of the source, and the prompt."""
    text = json.dumps([material(source), IDEAS.version], sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
