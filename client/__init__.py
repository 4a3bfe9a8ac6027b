"""What people run against a deployed URL: smoke test, load test, retry of failed tasks, and a Python client.

`python -m client --help` lists the commands; `client.api` and `client.task` are what another program imports.
"""
