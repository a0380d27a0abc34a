"""What makes a post: the prompts, the checks of an answer, and the forms in which a post is published.

    prompts -> answer -> defects (repaired, or returned to the writer) -> judging -> render -> html, ricos -> draft
                                                                               `-> verdict -> score

Nothing here calls a provider or reads the database. `render` is the one source of every form of a post.
"""
