"""Money: what a call may cost, what it has cost, and the budgets that limit both.

    prices (settings) -> estimate   what a campaign will cost, before it is enqueued
                      -> budget     what an attempt may cost, held before it pays
                      -> ledger     what a call has cost, written when its answer arrives

`provider_usage` is the ledger: one row per hour, provider, model and site. Prices are on the ground floor
(`blogworker.prices`), because the settings contain them.
"""
