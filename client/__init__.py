"""What people run against a deployed stack: a smoke test, a load test, and the Python client under both.

`python -m client --help` lists the commands; `client.api` is what another program imports.
"""
