"""Metrics: which a stack has, and what in it has them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.function import Function
from infra.http_api import HttpApi
from infra.queues import Queue, TaskQueues
from infra.tables import TasksTable

#: Our own, in the namespace of the stack's prefix. What each measures is in ``functions/tasklib/telemetry.py``;
#: times are in milliseconds. All are there by the dimension ``type``.
COMPLETED = "Completed"
FAILED = "Failed"
RETRIED = "Retried"
TIME_IN_QUEUE = "TimeInQueue"
RUN_TIME = "RunTime"
TIME_TO_COMPLETION = "TimeToCompletion"
DEAD_LETTERS = "DeadLetters"  #: also without ``type``
DEAD_LETTERS_PARKED = "DeadLettersParked"  #: without ``type`` only
DAMAGED_RECORDS = "DamagedRecords"  #: without ``type`` only
SUBMITTED = "Submitted"  #: made by CloudWatch from the log lines of submit-tasks

TYPE = "type"


@dataclass(frozen=True)
class Metric:
    """One metric of CloudWatch.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        dimensions: Name and value of each of its dimensions.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True)
class Watched:
    """The parts of a stack that are watched.

    Attributes:
        prefix: Start of all physical names of the stack.
        api: What clients call.
        table: Where the tasks are.
        queues: The task queue and the dead-letter queue.
        untold_updates: Where changes go that clients were not told of.
        functions: The functions by logical name.
    """

    prefix: str
    api: HttpApi
    table: TasksTable
    queues: TaskQueues
    untold_updates: Queue
    functions: Mapping[str, Function]

    def own(self, name: str) -> Metric:
        """A metric of ours, over all task types."""
        return Metric(self.prefix, name, {})

    def of_api(self, name: str) -> Metric:
        """A metric of the HTTP API."""
        return Metric("AWS/ApiGateway", name, {"ApiId": self.api.id})

    def of_function(self, function: str, name: str) -> Metric:
        """A metric of a function."""
        return Metric("AWS/Lambda", name, {"FunctionName": self.functions[function].name})

    def of_logs(self, function: str, name: str) -> Metric:
        """A metric of a function's log group."""
        return Metric("AWS/Logs", name, {"LogGroupName": self.functions[function].log_group})

    def of_queue(self, queue: Queue, name: str) -> Metric:
        """A metric of a queue."""
        return Metric("AWS/SQS", name, {"QueueName": queue.name})

    def of_table(self, name: str) -> Metric:
        """A metric of the tasks table without its indexes."""
        return Metric("AWS/DynamoDB", name, {"TableName": self.table.name})
