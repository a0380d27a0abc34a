"""Makes a post: the prompts, the checks of an answer, and the formats in which a post is published.

    prompts -> answer -> defects (repaired, or returned to the model) -> judging -> render -> html, ricos -> draft
                                                                              `-> verdict -> score

The writer is the model that writes the post. Nothing here calls a provider or reads the database. All formats of a post
come from `render`.
"""
