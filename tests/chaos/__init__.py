"""Fault injection: the whole system under faults of every kind, and the checker of what came of it."""
