"""A baseline: Celery with its SQS transport and DynamoDB results, as what people would pick instead.

Runs in an environment of its own (requirements-bench.txt) against the same emulator as the project:

    .venv/bench/bin/python -m benchmarks.celery_baseline --endpoint http://127.0.0.1:4566 --count 300
"""
