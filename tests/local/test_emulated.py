"""What the project adds to the emulator."""

from __future__ import annotations

import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from local.config import DEFAULT_REGION
from local.emulator import Emulator
from tests.waiting import wait_for


def client(emulator: Emulator, service: str) -> Any:
    clients: Any = boto3
    return clients.client(
        service,
        endpoint_url=emulator.endpoint_url,
        region_name=DEFAULT_REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def create_table(dynamodb: Any) -> str:
    """A table; returns the ARN of its stream."""
    table = dynamodb.create_table(
        TableName="streamed",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return table["TableDescription"]["LatestStreamArn"]


def package(source: str) -> bytes:
    """The zip of a function."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("function.py", source)
    return content.getvalue()


def create_function(functions: Any, name: str, source: str) -> None:
    """A function that runs as long as it likes."""
    functions.create_function(
        FunctionName=name,
        Role="arn:aws:iam::000000000000:role/any",
        Runtime="python3.13",
        Handler="function.handler",
        Code={"ZipFile": package(source)},
        Timeout=900,  # longer than a test is patient
    )


def create_reader(emulator: Emulator, name: str, source: str, event_source: str, **mapping: Any) -> None:
    """A function with a trigger."""
    functions = client(emulator, "lambda")
    create_function(functions, name, source)
    functions.create_event_source_mapping(EventSourceArn=event_source, FunctionName=name, **mapping)


WAITING = """
import pathlib, time
def handler(event, context):
    pathlib.Path({seen!r}).write_text(str(len(event["Records"])))
    while not pathlib.Path({free!r}).exists():
        time.sleep(0.02)
"""
NOTING = """
import pathlib
def handler(event, context):
    pathlib.Path({seen!r}).touch()
"""


def test_a_slow_reader_of_a_stream_keeps_no_message_of_a_queue_waiting(tmp_path: Path) -> None:
    changed, received, free = tmp_path / "changed", tmp_path / "received", tmp_path / "free"
    with Emulator(0, DEFAULT_REGION) as emulator:
        emulator.wait_until_ready()
        dynamodb, sqs = client(emulator, "dynamodb"), client(emulator, "sqs")
        stream = create_table(dynamodb)
        queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
        source = WAITING.format(seen=str(changed), free=str(free))
        create_reader(emulator, "reader", source, stream, StartingPosition="LATEST")
        queue_arn = f"arn:aws:sqs:{DEFAULT_REGION}:000000000000:queue"
        create_reader(emulator, "worker", NOTING.format(seen=str(received)), queue_arn)
        for number in ("1", "2"):
            dynamodb.put_item(TableName="streamed", Item={"id": {"S": number}})
        wait_for(changed.exists, "a change")
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({}))
        wait_for(received.exists, "a message while the reader of the stream is busy")
        free.touch()
        # What changes meanwhile and afterwards is read as well, in its order.
        changed.unlink()
        dynamodb.put_item(TableName="streamed", Item={"id": {"S": "3"}})
        wait_for(changed.exists, "a further change")


def test_writes_by_partiql_reach_the_stream_of_the_table() -> None:
    with Emulator(0, DEFAULT_REGION) as emulator:
        emulator.wait_until_ready()
        dynamodb, streams = client(emulator, "dynamodb"), client(emulator, "dynamodbstreams")
        arn = create_table(dynamodb)
        answers = dynamodb.batch_execute_statement(
            Statements=[
                {"Statement": "INSERT INTO \"streamed\" VALUE {'id': 'a', 'n': 1}"},
                {"Statement": "INSERT INTO \"streamed\" VALUE {'id': 'a', 'n': 9}"},
                {"Statement": 'UPDATE "streamed" SET "n" = 2 WHERE "id" = \'a\' AND "n" = 1'},
                {"Statement": 'UPDATE "streamed" SET "n" = 9 WHERE "id" = \'a\' AND "n" = 1'},
                {"Statement": 'DELETE FROM "streamed" WHERE "id" = \'a\''},
            ]
        )["Responses"]
        assert ["Error" in answer for answer in answers] == [False, True, False, True, False]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records: list[Any] = streams.get_records(ShardIterator=iterator)["Records"]
    images: list[Any] = [
        (
            record["eventName"],
            *(record["dynamodb"].get(name, {}).get("n") for name in ("OldImage", "NewImage")),
        )
        for record in records
    ]
    assert images == [
        ("INSERT", None, {"N": "1"}),
        ("MODIFY", {"N": "1"}, {"N": "2"}),
        ("REMOVE", {"N": "2"}, None),
    ]


ANSWERING = """
import os, pathlib, time
def handler(event, context):
    pathlib.Path({seen!r}).touch()
    while not pathlib.Path({free!r}).exists():
        time.sleep(0.02)
    return {{"code": {code!r}, "process": os.getpid()}}
"""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_call_that_runs_when_its_function_is_updated_ends_in_the_old_code(tmp_path: Path) -> None:
    seen, free = tmp_path / "seen", tmp_path / "free"

    def source(code: str) -> str:
        return ANSWERING.format(seen=str(seen), free=str(free), code=code)

    with Emulator(0, DEFAULT_REGION) as emulator, ThreadPoolExecutor() as threads:
        emulator.wait_until_ready()
        functions = client(emulator, "lambda")
        create_function(functions, "updated", source("old"))

        def call() -> dict[str, Any]:
            return json.load(functions.invoke(FunctionName="updated")["Payload"])

        try:
            running = threads.submit(call)
            wait_for(seen.exists, "the first call")
            functions.update_function_code(FunctionName="updated", ZipFile=package(source("new")))
        finally:
            free.touch()
        old, new = running.result(), call()
        assert (old.get("code"), new["code"]) == ("old", "new"), old
        wait_for(lambda: not is_running(old["process"]), "the end of the old code's process")
        assert is_running(new["process"])
