"""What an operator can see and do. The CLI, the bench and every other face call these functions.

    jobs  retry  sites  quotas  breakers  status  costs  forecast

Each function takes an open database, checks what it is asked, and returns rows or a frozen dataclass. Each raises
SettingsError for bad input, with what to do instead. Nothing here prints or exits.
"""
