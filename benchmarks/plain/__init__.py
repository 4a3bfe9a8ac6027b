"""A baseline: tasks as one would build them in an afternoon, and beside them a function that only answers.

A Pulumi program of its own. `POST /tasks` puts the record, then sends the message; the worker takes one record
after another and updates it twice. No idempotency, no leases, no retries but the queue's. `POST /empty` is what a
request costs when nothing is done with it.
"""
