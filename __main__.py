"""Asynchronous task processing on AWS: the architecture as code. Settings in, components wired, outputs out.

client -> api -> submit-tasks -> tasks table, task queue -> process-tasks -> tasks table
          api -> retry-tasks  -> tasks table, task queue    process-tasks -> dead-letter queue
          api -> cancel-tasks -> tasks table
          api -> read-tasks   -> tasks table                dead-letter queue -> monitor-dlq -> tasks table
       clock -> sweep-tasks  -> tasks table, task queue
client -> api -> dashboard, describe-api
client -> api -> issue-tickets -> connections table
client -> live-api -> track-connections -> connections table
         tasks table's stream, connections table -> notify-clients -> live-api -> client
"""

import json
from functools import partial
from pathlib import Path

import pulumi

from infra import package, settings, task_types
from infra.function import ColdStart, Function
from infra.http_api import HttpApi
from infra.metrics import Watched
from infra.monitoring import Monitoring
from infra.queues import Queue, TaskQueues
from infra.secrets import Secret
from infra.tables import BY_CREATED, BY_FAILED, BY_UNSENT, ConnectionsTable, TasksTable
from infra.tags import tagging
from infra.triggers import QueueTrigger, Schedule, StreamTrigger
from infra.websocket_api import WebSocketApi

ROOT = Path(__file__).resolve().parent
#: Enough for a few hundred dead letters; the dead-letter queue hides a letter six times as long.
MONITOR_TIMEOUT_SECONDS = 60
API_TIMEOUT_SECONDS = 10
#: A client that does not take its push costs 8 s, once and 32 of them at a time.
NOTIFY_TIMEOUT_SECONDS = 30
#: The gateway ends a connection after two hours. When a change is given up later than that, every connection of its
#: time has ended.
GIVE_UP_UPDATES_SECONDS = 2 * 3_600 + 600
#: How far the sweep stays behind the present: longer than a submission can take and than the index lags.
SWEEP_BEHIND_SECONDS = 120
#: The next sweep begins when the minute is over, and two at once would only send the same messages.
SWEEP_TIMEOUT_SECONDS = 60
#: Nobody waits for the monitor.
BACKGROUND_MEMORY_MB = 256
#: A whole processor: the sweep reads every task once, and has to keep up with them.
SWEEP_MEMORY_MB = 1_769

types = task_types.declared(ROOT)
config = settings.load(types)
pulumi.runtime.register_stack_transformation(tagging(config.tags))

# What is stored and queued

tasks_table = TasksTable("tasks", prefix=config.prefix, protect=config.protect_data)
#: For queues, rules, alarms and the like, which AWS creates even if their name is taken. If another state has a stack
#: of this name, this one would own them, and would delete them when it is destroyed. But AWS refuses its table first.
after_table = pulumi.ResourceOptions(depends_on=[tasks_table])
queues = TaskQueues(
    "queues",
    prefix=config.prefix,
    visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
    dead_letter_visibility_timeout_seconds=6 * MONITOR_TIMEOUT_SECONDS,
    retention_days=config.queue.retention_days,
    max_receive_count=config.queue.max_receive_count,
    protect=config.protect_data,
    opts=after_table,
)

connections_table = ConnectionsTable("connections", prefix=config.prefix)
untold_updates = Queue(
    "untold-updates",
    prefix=config.prefix,
    visibility_timeout_seconds=30,
    retention_days=1,
    protect=False,
    opts=after_table,
)

webhook_secret = config.webhooks.secret and Secret(
    "webhook-secret",
    prefix=config.prefix,
    description="What the task type webhook signs its deliveries with",
    value=config.webhooks.secret,
)

# What runs, and what it may do

function = partial(
    Function,
    prefix=config.prefix,
    code=pulumi.FileArchive(package.build(ROOT)),
    architecture=config.architecture,
    log_retention_days=config.log_retention_days,
    tracing=config.tracing,
)
#: What a request waits for.
api_function = partial(function, memory_mb=config.api.memory_mb, timeout_seconds=API_TIMEOUT_SECONDS)
submit_tasks = api_function(
    "submit-tasks",
    description="POST /tasks: stores a task and queues it",
    handler="submit_tasks.handler",
    environment={
        "TASKS_TABLE": tasks_table.name,
        "TASK_QUEUE_URL": queues.tasks.url,
        "LIST_SHARDS": str(config.list_shards),
        "MESSAGE_RETENTION_DAYS": str(config.queue.retention_days),
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
    },
    grants=[
        tasks_table.grant("PutItem", "DeleteItem", "PartiQLInsert"),
        queues.tasks.grant("SendMessage"),
    ],
    cold_start=ColdStart(config.snap_start, config.api.provisioned_concurrency),
)
read_tasks = api_function(
    "read-tasks",
    description="GET /tasks and GET /tasks/{taskId}; answers 404 and 405 for every other request",
    handler="read_tasks.handler",
    environment={"TASKS_TABLE": tasks_table.name, "LIST_SHARDS": str(config.list_shards)},
    grants=[tasks_table.grant("GetItem", "BatchGetItem"), tasks_table.grant_query(BY_CREATED, BY_FAILED)],
    cold_start=ColdStart(config.snap_start, config.api.provisioned_concurrency),
)
process_tasks = function(
    "process-tasks",
    description="Runs the tasks of the task queue, retries them, dead-letters what failed for good",
    handler="process_tasks.handler",
    memory_mb=config.worker.memory_mb,
    timeout_seconds=config.worker.timeout_seconds,
    environment={
        "TASKS_TABLE": tasks_table.name,
        "TASK_QUEUE_URL": queues.tasks.url,
        "DEAD_LETTER_QUEUE_URL": queues.dead_letters.url,
        "MAX_RETRIES": str(config.retries.max_retries),
        "BACKOFF_BASE_SECONDS": str(config.retries.backoff_base_seconds),
        "BACKOFF_MAX_SECONDS": str(config.retries.backoff_max_seconds),
        "BACKOFF_JITTER": str(config.retries.backoff_jitter),
        "FAILURE_RATE": str(config.worker.failure_rate),
        "WORKER_TIMEOUT_SECONDS": str(config.worker.timeout_seconds),
        "VISIBILITY_TIMEOUT_SECONDS": str(config.queue.visibility_timeout_seconds),
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
        "WEBHOOK_ALLOWED_HOSTS": json.dumps(config.webhooks.allowed_hosts),
        "WEBHOOK_ALLOWED_NETWORKS": json.dumps(config.webhooks.allowed_networks),
        **({"WEBHOOK_SECRET_PARAMETER": webhook_secret.parameter_name} if webhook_secret else {}),
    },
    grants=[
        tasks_table.grant("GetItem", "BatchGetItem", "PartiQLUpdate"),
        queues.tasks.grant_to_platform("poll a queue"),
        queues.tasks.grant("ChangeMessageVisibility"),
        queues.dead_letters.grant("SendMessage"),
        *([webhook_secret.grant_read()] if webhook_secret else []),
        *task_types.grants_of(types, config.prefix, queues.tasks.arn),
    ],
    cold_start=ColdStart(config.snap_start, config.worker.provisioned_concurrency),
)
retry_tasks = api_function(
    "retry-tasks",
    description="POST /tasks/{taskId}/retry: starts a new run of a failed task",
    handler="retry_tasks.handler",
    environment={
        "TASKS_TABLE": tasks_table.name,
        "TASK_QUEUE_URL": queues.tasks.url,
        "MESSAGE_RETENTION_DAYS": str(config.queue.retention_days),
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
    },
    grants=[
        # UpdateItem for the life of a task's data and for a recheck by the sweep, which are no records.
        tasks_table.grant("GetItem", "UpdateItem", "PartiQLUpdate"),
        queues.tasks.grant("SendMessage"),
    ],
    cold_start=ColdStart(config.snap_start),
)
cancel_tasks = api_function(
    "cancel-tasks",
    description="DELETE /tasks/{taskId}: cancels a task that no worker has",
    handler="cancel_tasks.handler",
    environment={
        "TASKS_TABLE": tasks_table.name,
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
    },
    grants=[tasks_table.grant("GetItem", "PartiQLUpdate")],
    cold_start=ColdStart(config.snap_start),
)
sweep_tasks = function(
    "sweep-tasks",
    description="Sends messages that are missing: of tasks that were never queued, or that SQS has dropped",
    handler="sweep_tasks.handler",
    memory_mb=SWEEP_MEMORY_MB,
    timeout_seconds=SWEEP_TIMEOUT_SECONDS,
    environment={
        "TASKS_TABLE": tasks_table.name,
        "TASK_QUEUE_URL": queues.tasks.url,
        "LIST_SHARDS": str(config.list_shards),
        "SWEEP_BEHIND_SECONDS": str(SWEEP_BEHIND_SECONDS),
        "MESSAGE_RETENTION_DAYS": str(config.queue.retention_days),
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
    },
    grants=[
        # Query, UpdateItem and DeleteItem for its cursors and rechecks and the life of data, which are no records.
        tasks_table.grant("GetItem", "BatchGetItem", "Query", "UpdateItem", "DeleteItem", "PartiQLUpdate"),
        tasks_table.grant_query(BY_CREATED, BY_UNSENT),
        queues.tasks.grant("SendMessage"),
    ],
)
monitor_dlq = function(
    "monitor-dlq",
    description="Logs each dead letter, marks its task, then deletes it",
    handler="monitor_dlq.handler",
    memory_mb=BACKGROUND_MEMORY_MB,
    timeout_seconds=MONITOR_TIMEOUT_SECONDS,
    environment={
        "TASKS_TABLE": tasks_table.name,
        "DEAD_LETTER_QUEUE_URL": queues.dead_letters.url,
        "TASK_RETENTION_DAYS": str(config.task_retention_days),
    },
    grants=[
        tasks_table.grant("GetItem", "PartiQLUpdate"),
        queues.dead_letters.grant("ChangeMessageVisibility"),
        # Its own code receives and deletes when a schedule calls; both triggers exist while one replaces the other.
        queues.dead_letters.grant_to_platform("poll a queue"),
    ],
)
track_connections = api_function(
    "track-connections",
    description="Lets WebSocket clients in by their tickets; answers their frames: what they want to hear of",
    handler="track_connections.handler",
    environment={"CONNECTIONS_TABLE": connections_table.name},
    grants=[connections_table.grant("GetItem", "PutItem", "DeleteItem")],
)
live_api = WebSocketApi(
    "live-api",
    prefix=config.prefix,
    description="Hear of tasks as they change",
    function=track_connections,
    throttle_rate=config.api.throttle_rate,
    throttle_burst=config.api.throttle_burst,
)
notify_clients = function(
    "notify-clients",
    description="Pushes the changes of tasks to the WebSocket clients that want to hear of them",
    handler="notify_clients.handler",
    memory_mb=config.api.memory_mb,
    timeout_seconds=NOTIFY_TIMEOUT_SECONDS,
    environment={
        "CONNECTIONS_TABLE": connections_table.name,
        "CONNECTIONS_URL": live_api.connections_url,
    },
    grants=[
        *tasks_table.grant_stream(),
        connections_table.grant("Query", "DeleteItem"),
        live_api.grant_push(),
        untold_updates.grant_to_platform("report what failed"),
    ],
)
dashboard = api_function(
    "dashboard",
    description="GET /: the web page",
    handler="dashboard.handler",
    environment={"WEBSOCKET_URL": live_api.url},
    grants=[],
)
issue_tickets = api_function(
    "issue-tickets",
    description="POST /live: where to connect for live updates, with a ticket for one connection",
    handler="issue_tickets.handler",
    environment={"CONNECTIONS_TABLE": connections_table.name, "WEBSOCKET_URL": live_api.url},
    grants=[connections_table.grant("PutItem")],
)
describe_api = api_function(
    "describe-api",
    description="GET /openapi.json and GET /docs: the description of the API",
    handler="describe_api.handler",
    environment={"AUTH": "jwt" if config.api.tokens else "none"},
    grants=[],
)

# What starts it

api = HttpApi(
    "api",
    prefix=config.prefix,
    description="Submit tasks and read them",
    routes={
        "POST /live": issue_tickets,
        "POST /tasks": submit_tasks,
        "POST /tasks/batch": submit_tasks,
        "GET /tasks": read_tasks,
        "GET /tasks/{taskId}": read_tasks,
        "DELETE /tasks/{taskId}": cancel_tasks,
        "POST /tasks/{taskId}/retry": retry_tasks,
        "$default": read_tasks,
    },
    # Everybody reaches these, token or not: their functions have no rights, and what they answer is no secret.
    open_routes={
        "GET /": dashboard,
        "GET /openapi.json": describe_api,
        "GET /docs": describe_api,
        # A browser asks before it sends a token, and would ask $default, which wants one.
        **({"OPTIONS /{proxy+}": describe_api} if config.api.cors_origins else {}),
    },
    tokens=config.api.tokens,
    throttle_rate=config.api.throttle_rate,
    throttle_burst=config.api.throttle_burst,
    cors_origins=config.api.cors_origins,
)
QueueTrigger(
    "process-tasks",
    queue=queues.tasks,
    function=process_tasks,
    batch_size=config.worker.batch_size,
    batch_window_seconds=config.worker.batch_window_seconds,
    max_concurrency=config.worker.max_concurrency,
)
StreamTrigger(
    "notify-clients",
    table=tasks_table,
    function=notify_clients,
    give_up_after_seconds=GIVE_UP_UPDATES_SECONDS,
    failures=untold_updates,
)
Schedule(
    "sweep-tasks",
    prefix=config.prefix,
    description="Looks for tasks that were stored and never queued",
    expression="rate(1 minute)",
    function=sweep_tasks,
    opts=after_table,
)
if config.monitor.trigger == "queue":
    QueueTrigger(
        "monitor-dlq",
        queue=queues.dead_letters,
        function=monitor_dlq,
        batch_size=10,
        batch_window_seconds=0,
        max_concurrency=2,
    )
else:
    Schedule(
        "monitor-dlq",
        prefix=config.prefix,
        description="Looks for dead letters",
        expression=config.monitor.schedule,
        function=monitor_dlq,
        opts=after_table,
    )

# What watches it

Monitoring(
    "monitoring",
    watched=Watched(
        prefix=config.prefix,
        api=api,
        table=tasks_table,
        queues=queues,
        untold_updates=untold_updates,
        functions={
            each.pulumi_resource_name: each
            for each in (
                *(
                    submit_tasks,
                    read_tasks,
                    retry_tasks,
                    cancel_tasks,
                    process_tasks,
                    sweep_tasks,
                    monitor_dlq,
                ),
                *(track_connections, notify_clients, issue_tickets, dashboard, describe_api),
            )
        },
    ),
    limits=config.alarms,
    monitor_interval_seconds=config.monitor.interval_seconds,
    opts=after_table,
)

pulumi.export("dashboardUrl", pulumi.Output.concat(api.url, "/"))
pulumi.export("apiUrl", api.url)
pulumi.export("webSocketUrl", live_api.url)
pulumi.export("tasksTableName", tasks_table.name)
pulumi.export("taskQueueUrl", queues.tasks.url)
pulumi.export("deadLetterQueueUrl", queues.dead_letters.url)
