"""What starts a function without a caller: a queue's messages, a table's changes, or the clock."""

import json

import pulumi
import pulumi_aws as aws

from infra.function import Function
from infra.queues import Queue
from infra.tables import TasksTable


class QueueTrigger(pulumi.ComponentResource):
    """Calls a function with batches of a queue's messages.

    The function answers with the messages that failed; only those are delivered again.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: Queue,
        function: Function,
        batch_size: int,
        batch_window_seconds: int,
        max_concurrency: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the event source.

        Args:
            name: Logical name.
            queue: The queue to poll.
            function: The function to call; it needs the grant to poll the queue.
            batch_size: Most messages in one call.
            batch_window_seconds: Longest wait for a batch to fill.
            max_concurrency: Most calls at once; AWS allows no fewer than 2.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:QueueTrigger", name, None, opts)
        aws.lambda_.EventSourceMapping(
            name,
            event_source_arn=queue.arn,
            # Not its name: Pulumi's provider takes that for equal to the ARN of each of its aliases, and
            # would leave the trigger on one that is to be deleted.
            function_name=function.arn,
            batch_size=batch_size,
            maximum_batching_window_in_seconds=batch_window_seconds,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": max_concurrency},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class StreamTrigger(pulumi.ComponentResource):
    """Calls a function with the changes of the tasks table's records, in their order.

    A batch that fails is cut in two and tried again, and those of its shard that follow wait for it. When it is too
    old, its place in the stream goes to a queue instead.
    """

    def __init__(
        self,
        name: str,
        *,
        table: TasksTable,
        function: Function,
        give_up_after_seconds: int,
        failures: Queue,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the event source.

        Args:
            name: Logical name.
            table: The table whose records' changes are passed on; those of other items are not.
            function: The function to call; it needs to read the stream and to send to ``failures``, and answers
                with the first record that failed.
            give_up_after_seconds: The age of a change from which on it is not tried again; AWS allows no less
                than 60.
            failures: Where changes go that the function failed on.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:StreamTrigger", name, None, opts)
        aws.lambda_.EventSourceMapping(
            name,
            event_source_arn=table.stream_arn,
            function_name=function.arn,
            # Nobody waits for what happened before the trigger was there.
            starting_position="LATEST",
            batch_size=100,
            function_response_types=["ReportBatchItemFailures"],
            filter_criteria={
                "filters": [
                    {
                        "pattern": json.dumps(
                            {
                                "eventName": ["INSERT", "MODIFY"],
                                "dynamodb": {"Keys": {"part": {"S": ["state"]}}},
                            }
                        )
                    }
                ]
            },
            bisect_batch_on_function_error=True,
            # As many as there is time for: attempts that fail at once would use up any number in seconds.
            maximum_retry_attempts=-1,
            maximum_record_age_in_seconds=give_up_after_seconds,
            destination_config={"on_failure": {"destination_arn": failures.arn}},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class Schedule(pulumi.ComponentResource):
    """Calls a function at regular times."""

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        expression: str,
        function: Function,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the EventBridge rule and its right to call the function.

        Args:
            name: Logical name; with ``prefix`` also the rule's name.
            prefix: Start of all physical names of this stack.
            description: Why the function is called, for people in the AWS console.
            expression: When: ``rate(...)`` or ``cron(...)`` in EventBridge's notation, in UTC.
            function: The function to call.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:Schedule", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        rule = aws.cloudwatch.EventRule(
            name,
            name=f"{prefix}-{name}",
            description=description,
            schedule_expression=expression,
            opts=child,
        )
        permission = function.permit(name, principal="events.amazonaws.com", source_arn=rule.arn, opts=child)
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            target_id=name,
            arn=function.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=permission),
        )
        self.register_outputs({})
