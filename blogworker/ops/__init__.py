"""Operations: what an operator can see and do. The command line and every other interface call these functions.

    jobs  retry  posts  review  sites  quotas  breakers  status  metrics  costs  forecast

Each function takes an open database, checks its arguments, and returns frozen dataclasses (records.py). Bad input
raises SettingsError with what to do instead. Nothing here prints or exits.
"""
