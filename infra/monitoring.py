"""What tells people how the stack fares: alarms by e-mail, a dashboard, saved queries."""

from typing import Any

import pulumi
import pulumi_aws as aws

from infra import metrics
from infra.alarms import Alarm, alarms
from infra.dashboard import dashboard
from infra.metrics import Metric, Watched
from infra.saved_queries import SAVED_QUERIES
from infra.settings import Alarms

_CLOUDWATCH = {"Service": "cloudwatch.amazonaws.com"}


class Monitoring(pulumi.ComponentResource):
    """The alarms and the topic that they call, the dashboard and the saved queries of a stack.

    Attributes:
        topic_arn: Output, the topic that all alarms call, when something is wrong and when it is right again.
    """

    def __init__(
        self,
        name: str,
        *,
        watched: Watched,
        limits: Alarms,
        monitor_interval_seconds: int | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare what watches.

        Args:
            name: Logical name.
            watched: What is watched.
            limits: From where on alarms call, and whom.
            monitor_interval_seconds: How often the schedule starts the dead-letter monitor; None if it has no
                schedule, or one without a fixed interval.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:Monitoring", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._prefix = watched.prefix
        # An ARN says it all: the program could otherwise only ask AWS, and a preview would need an account.
        place = watched.table.arn.apply(lambda arn: arn.split(":"))
        self._partition, self._region, self._account = place[1], place[3], place[4]
        self.topic_arn = self._topic(limits.email)
        self._count_submissions(watched)
        declared = [
            self._alarm(alarm, limits.runbook_url)
            for alarm in alarms(watched, limits, monitor_interval_seconds)
        ]
        aws.cloudwatch.Dashboard(
            name,
            # Dashboards are global: without the region, a stack of this name in another region would overwrite it.
            dashboard_name=pulumi.Output.concat(watched.prefix, "-", self._region),
            dashboard_body=pulumi.Output.json_dumps(
                dashboard(watched, self._region, [alarm.arn for alarm in declared])
            ),
            opts=self._child,
        )
        for query_name, query in SAVED_QUERIES.items():
            aws.cloudwatch.QueryDefinition(
                query_name,
                name=f"{watched.prefix}/{query_name}",
                query_string=query.text,
                log_group_names=[
                    watched.functions[each].log_group for each in query.functions or watched.functions
                ],
                opts=self._child,
            )
        self.register_outputs({"topicArn": self.topic_arn})

    def _topic(self, email: str) -> pulumi.Output[str]:
        """The topic. CloudWatch may not use the key that AWS keeps for topics, so it has one of its own."""
        alarm_arns = pulumi.Output.concat(
            "arn:",
            self._partition,
            ":cloudwatch:",
            self._region,
            ":",
            self._account,
            f":alarm:{self._prefix}-*",
        )
        owner = pulumi.Output.concat("arn:", self._partition, ":iam::", self._account, ":root")
        key = aws.kms.Key(
            "alarms",
            description=f"Encrypts the alarms of {self._prefix}",
            enable_key_rotation=True,
            deletion_window_in_days=7,
            # In a key's policy * is the key itself.
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Allow", "Principal": {"AWS": owner}, "Action": "kms:*", "Resource": "*"},
                        {
                            "Effect": "Allow",
                            "Principal": _CLOUDWATCH,
                            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                            "Resource": "*",
                        },
                    ],
                }
            ),
            opts=self._child,
        )
        topic = aws.sns.Topic(
            "alarms", name=f"{self._prefix}-alarms", kms_master_key_id=key.arn, opts=self._child
        )
        aws.sns.TopicPolicy(
            "alarms",
            arn=topic.arn,
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "AlarmsOfThisStack",
                            "Effect": "Allow",
                            "Principal": _CLOUDWATCH,
                            "Action": "sns:Publish",
                            "Resource": topic.arn,
                            "Condition": {
                                "StringEquals": {"aws:SourceAccount": self._account},
                                "ArnLike": {"aws:SourceArn": alarm_arns},
                            },
                        }
                    ],
                }
            ),
            opts=self._child,
        )
        if email:
            aws.sns.TopicSubscription(
                "alarms-by-email", topic=topic.arn, protocol="email", endpoint=email, opts=self._child
            )
        return topic.arn

    def _count_submissions(self, watched: Watched) -> None:
        """Makes the metric of submissions of the log lines that say how many tasks were accepted."""
        aws.cloudwatch.LogMetricFilter(
            "submitted",
            name=f"{self._prefix}-submitted",
            log_group_name=watched.functions["submit-tasks"].log_group,
            pattern="{ $.submitted = * }",
            metric_transformation={
                "namespace": self._prefix,
                "name": metrics.SUBMITTED,
                "value": "$.submitted",
                "unit": "Count",
                "dimensions": {metrics.TYPE: f"$.{metrics.TYPE}"},
            },
            opts=self._child,
        )

    def _alarm(self, alarm: Alarm, runbook_url: str) -> aws.cloudwatch.MetricAlarm:
        return aws.cloudwatch.MetricAlarm(
            alarm.name,
            name=f"{self._prefix}-{alarm.name}",
            alarm_description=f"{alarm.says} {runbook_url}#{alarm.name}",
            **(_conditional(alarm, alarm.only_while) if alarm.only_while else _plain(alarm)),
            comparison_operator="GreaterThanOrEqualToThreshold" if alarm.at_least else "LessThanThreshold",
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            treat_missing_data=alarm.missing,
            alarm_actions=[self.topic_arn],
            ok_actions=[self.topic_arn],
            insufficient_data_actions=[self.topic_arn] if alarm.missing == "missing" else None,
            opts=self._child,
        )


def _plain(alarm: Alarm) -> dict[str, Any]:
    """What an alarm on a metric looks at."""
    percentile = alarm.statistic.startswith("p")
    return {
        "namespace": alarm.metric.namespace,
        "metric_name": alarm.metric.name,
        "dimensions": alarm.metric.dimensions,
        "statistic": None if percentile else alarm.statistic,
        "extended_statistic": alarm.statistic if percentile else None,
        # A hundredth of a few requests says nothing.
        "evaluate_low_sample_count_percentiles": "ignore" if percentile else None,
        "period": alarm.period_seconds,
    }


def _conditional(alarm: Alarm, condition: Metric) -> dict[str, Any]:
    """What an alarm looks at that counts a metric only while another one is over 0."""

    def query(id_: str, metric: Metric, statistic: str) -> dict[str, Any]:
        measured = {
            "namespace": metric.namespace,
            "metric_name": metric.name,
            "dimensions": metric.dimensions,
            "stat": statistic,
            "period": alarm.period_seconds,
        }
        return {"id": id_, "metric": measured, "return_data": False}

    return {
        "metric_queries": [
            query("value", alarm.metric, alarm.statistic),
            query("condition", condition, "Minimum"),
            {
                "id": "counted",
                "expression": "IF(condition > 0, value, 0)",
                "label": alarm.metric.name,
                "return_data": True,
            },
        ]
    }
