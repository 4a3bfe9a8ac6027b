"""What the functions share: the task and its states, the store, the queues, the worker, telemetry."""
