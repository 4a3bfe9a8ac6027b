"""What people run against a deployed URL: tasks submitted, followed, cancelled; a stack tried and looked after.

`python -m client --help` lists the commands; `client.api` and `client.task` are what another program imports.
"""
