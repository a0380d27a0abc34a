"""HTTP: intake of jobs, the state of the fleet as JSON, metrics, and the dashboard. The database is the only source.

server     the process: sockets, signals, limits of connections
app        the table of routes, and what surrounds every request
access     who calls: bearer tokens, sessions of the dashboard, scopes, rates
intake     add jobs
jobs       read, cancel and retry jobs
fleet      status, sites, quotas, breakers, costs, and the two routes of the previous system
health     liveness, readiness, metrics
problems   errors as application/problem+json
openapi    the description of all this
"""
