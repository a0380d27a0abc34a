"""The five stages of a job, in order. The result of each is stored before the next one starts.

    source -> ideas -> content -> image -> publish

A stage is a module with `async def run(work: Work) -> Record`. No stage imports another one. They share:

    work          what a stage receives: the claim, checkpoints, clients, limiter, circuit breakers and cache
    records       the typed results of the stages
    effects       the typed checkpoints within a stage, such as a paid answer or a created draft
    catalog       what each stage needs: provider, quota, tokens
    pipeline      runs the stages in order and turns errors into outcomes
"""
