"""The table of defects: what a model adds to a post, or leaves in it, that a reader must not see.

    raw answer -> repaired, field by field, in the order of the table -> post
                  `-> a defect without one right repair goes back to the model, with the field and the text found

To add a defect, add a row to `table` with a function that finds or repairs it, and an example to the tests.
"""

from blogworker.post.defects.kind import Defect, PostContext
from blogworker.post.defects.placeholders import without_placeholders
from blogworker.post.defects.table import DEFECTS, Repaired, repair_fields

__all__ = ["DEFECTS", "Defect", "PostContext", "Repaired", "repair_fields", "without_placeholders"]
