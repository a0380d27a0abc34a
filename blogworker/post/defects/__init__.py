"""The defects of posts, as a table: what a model adds to a post, or leaves in it, that no reader should see.

    raw answer -> repaired, field by field, in the order of the table -> post
                  `-> what has no one right repair goes back to its writer, who is told where and what

A new defect is a row in `table` with a function that finds or repairs it, and a planted example in the tests.
"""

from blogworker.post.defects.kind import Defect, Known
from blogworker.post.defects.placeholders import without_placeholders
from blogworker.post.defects.table import DEFECTS, Mended, mended

__all__ = ["DEFECTS", "Defect", "Known", "Mended", "mended", "without_placeholders"]
