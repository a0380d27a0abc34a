"""Spend: what calls may cost, what they have cost, and the budgets that limit both.

    prices (settings) -> estimate   what jobs will cost, before they are enqueued
                      -> budget     what an attempt may cost, held before its first paid call
                      -> ledger     what a call has cost, recorded when its answer arrives

`provider_usage` is the ledger: one row per hour, provider, model and site. Prices are on the ground floor
(`blogworker.prices`), because the settings contain them.
"""
