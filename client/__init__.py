"""What people run against a deployed URL: smoke test, load test, retry of failed tasks, and a Python client.

`python -m client --help` lists the commands; `client.api` is what another program imports.
"""
