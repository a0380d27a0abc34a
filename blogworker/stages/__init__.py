"""The five steps of a job, in order; each is stored before the next begins.

    source -> ideas -> content -> image -> publish

A stage is a module with `async def run(work: Work) -> Output`. `work` tells what it is handed, `pipeline` calls them.
"""
