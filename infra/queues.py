"""The task queue and the dead-letter queue behind it."""

import pulumi
import pulumi_aws as aws

from infra.grants import BY_PLATFORM, Grant

_DAY_SECONDS = 24 * 60 * 60

#: How long dead letters wait to be looked at: the most that SQS offers. It does not follow the task queue's
#: retention, because a message that SQS itself moves keeps the age that it had.
DEAD_LETTER_RETENTION_DAYS = 14


class Queue(pulumi.ComponentResource):
    """One encrypted queue that answers over TLS only.

    Attributes:
        arn: Output, the queue's ARN.
        name: Output, the queue's name.
        url: Output, the queue's URL.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        visibility_timeout_seconds: int,
        retention_days: int,
        protect: bool,
        redrive_policy: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the queue and its policy.

        Args:
            name: Logical name; with ``prefix`` also the queue's name.
            prefix: Start of all physical names of this stack.
            visibility_timeout_seconds: Seconds for which a delivered message is hidden from others.
            retention_days: Days until an undelivered message is dropped.
            protect: Let Pulumi refuse to delete the queue.
            redrive_policy: JSON that says when messages move to which other queue; none move without it.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:Queue", name, None, opts)
        queue = aws.sqs.Queue(
            name,
            name=f"{prefix}-{name}",
            visibility_timeout_seconds=visibility_timeout_seconds,
            message_retention_seconds=retention_days * _DAY_SECONDS,
            sqs_managed_sse_enabled=True,
            redrive_policy=redrive_policy,
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        self.arn = queue.arn
        self.name = queue.name
        self.url = queue.url
        aws.sqs.QueuePolicy(
            name,
            queue_url=queue.url,
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "sqs:*",
                            "Resource": queue.arn,
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                }
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"arn": self.arn, "url": self.url})

    def grant(self, *actions: str) -> Grant:
        """Permission for actions of SQS, such as ``SendMessage``, on this queue."""
        return Grant(tuple(f"sqs:{action}" for action in actions), (self.arn,))

    def grant_to_platform(self, purpose: str) -> Grant:
        """Permission for what AWS does with the queue in a function's name: a key of ``BY_PLATFORM``."""
        return Grant(BY_PLATFORM[purpose], (self.arn,))


class TaskQueues(pulumi.ComponentResource):
    """The task queue and its dead-letter queue, which accepts dead letters of no other queue.

    Attributes:
        tasks: The queue of tasks to run.
        dead_letters: The queue of tasks that failed for good.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        visibility_timeout_seconds: int,
        dead_letter_visibility_timeout_seconds: int,
        retention_days: int,
        max_receive_count: int,
        protect: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare both queues.

        Args:
            name: Logical name of the pair.
            prefix: Start of all physical names of this stack.
            visibility_timeout_seconds: Seconds for which a task that a worker took is hidden from the others.
            dead_letter_visibility_timeout_seconds: The same for a dead letter and its monitor.
            retention_days: Days until SQS drops a task that no worker finished.
            max_receive_count: Deliveries after which SQS itself moves a task to the dead-letter queue.
            protect: Let Pulumi refuse to delete the queues.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:TaskQueues", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.dead_letters = Queue(
            "dead-letter-queue",
            prefix=prefix,
            visibility_timeout_seconds=dead_letter_visibility_timeout_seconds,
            retention_days=DEAD_LETTER_RETENTION_DAYS,
            protect=protect,
            opts=child,
        )
        self.tasks = Queue(
            "task-queue",
            prefix=prefix,
            visibility_timeout_seconds=visibility_timeout_seconds,
            retention_days=retention_days,
            protect=protect,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": self.dead_letters.arn, "maxReceiveCount": max_receive_count}
            ),
            opts=child,
        )
        aws.sqs.RedriveAllowPolicy(
            name,
            queue_url=self.dead_letters.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [self.tasks.arn]}
            ),
            opts=child,
        )
        self.register_outputs({"taskQueueUrl": self.tasks.url, "deadLetterQueueUrl": self.dead_letters.url})
