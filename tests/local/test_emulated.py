"""What the project adds to the emulator."""

from __future__ import annotations

from typing import Any

import boto3

from local.config import DEFAULT_REGION
from local.emulator import Emulator


def test_writes_by_partiql_reach_the_stream_of_the_table() -> None:
    with Emulator(0, DEFAULT_REGION) as emulator:
        emulator.wait_until_ready()
        options: dict[str, Any] = {
            "endpoint_url": emulator.endpoint_url,
            "region_name": DEFAULT_REGION,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        clients: Any = boto3
        dynamodb = clients.client("dynamodb", **options)
        streams = clients.client("dynamodbstreams", **options)
        arn = dynamodb.create_table(
            TableName="streamed",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )["TableDescription"]["LatestStreamArn"]
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
