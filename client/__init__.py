"""What people run against a deployed URL: smoke and load test, retry, live updates, and a Python client.

`python -m client --help` lists the commands; `client.api` and `client.task` are what another program imports.
"""
