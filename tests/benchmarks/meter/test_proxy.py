"""Real calls of boto3 through the proxy to the emulator."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.meter.counts import Count
from benchmarks.meter.errors import MeterError
from benchmarks.meter.proxy import MeterProxy
from local.emulator import Emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.xdist_group("meter")

KB = 1024


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(0, "us-east-1") as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def running_proxy(emulator: Emulator) -> Iterator[MeterProxy]:
    with MeterProxy(emulator.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: MeterProxy) -> MeterProxy:
    running_proxy.reset()
    return running_proxy


def client(service: str, endpoint: str) -> Any:
    return cast("Any", boto3).client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=16),
    )


@pytest.fixture(scope="module")
def dynamodb(running_proxy: MeterProxy) -> DynamoDBClient:
    return client("dynamodb", running_proxy.url)


class Metered:
    """A table with a keys-only index by `lane` and `place`, and one by `color` that includes `shade`."""

    def __init__(self, dynamodb: DynamoDBClient, proxy: MeterProxy) -> None:
        self.dynamodb = dynamodb
        self.proxy = proxy
        self.name = f"tasks-{uuid.uuid4().hex[:8]}"
        dynamodb.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in ("id", "part", "lane", "place", "color")
            ],
            KeySchema=[
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "part", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "byPlace",
                    "KeySchema": [
                        {"AttributeName": "lane", "KeyType": "HASH"},
                        {"AttributeName": "place", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
                {
                    "IndexName": "byColor",
                    "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["shade"]},
                },
            ],
        )
        proxy.reset()

    def put(self, name: str, **attributes: str) -> None:
        self.dynamodb.put_item(TableName=self.name, Item=item(name, **attributes))

    def update(self, name: str, expression: str, condition: str = "", **values: str) -> None:
        conditional: Any = {"ConditionExpression": condition} if condition else {}
        if values:
            conditional["ExpressionAttributeValues"] = {
                f":{each}": {"S": text} for each, text in values.items()
            }
        self.dynamodb.update_item(
            TableName=self.name, Key=key(name), UpdateExpression=expression, **conditional
        )

    def count(self, operation: str) -> Count:
        """What the calls of an operation came to since the last look at anything."""
        found = self.proxy.counts()[f"dynamodb.{operation}"]
        self.proxy.reset()
        return found


@pytest.fixture
def table(dynamodb: DynamoDBClient, proxy: MeterProxy) -> Metered:
    return Metered(dynamodb, proxy)


def key(name: str) -> Any:
    return {"id": {"S": name}, "part": {"S": "state"}}


def item(name: str, **attributes: str) -> Any:
    return key(name) | {each: {"S": text} for each, text in attributes.items()}


def text(size: float) -> str:
    """A text that makes an item of a little less than so many bytes."""
    return "." * int(size - 100)


def test_a_put_costs_its_size_and_its_index_entries(table: Metered) -> None:
    table.put("a")
    assert table.count("PutItem") == Count(calls=1, write_units=1)
    table.put("b", lane="0", place="1", data=text(3 * KB))
    assert table.count("PutItem").write_units == 3 + 1
    # Replaced by a small item: the larger of the two, and its entry stays as it is.
    table.put("b", lane="0", place="1")
    assert table.count("PutItem").write_units == 3
    table.put("b", lane="0", place="1")
    table.put("b", lane="0", place="1")
    assert table.count("PutItem") == Count(calls=2, write_units=2)


def test_an_update_costs_the_larger_of_before_and_after(table: Metered) -> None:
    table.update("a", "SET data_ = :data", data=text(2 * KB))
    assert table.count("UpdateItem").write_units == 2
    table.update("a", "SET data_ = :data", data=text(4 * KB))
    assert table.count("UpdateItem").write_units == 4
    table.update("a", "REMOVE data_")
    assert table.count("UpdateItem").write_units == 4
    table.update("a", "SET color_ = :color", color="red")
    assert table.count("UpdateItem").write_units == 1


def test_what_an_update_costs_in_the_indexes(table: Metered) -> None:
    table.put("a", color="red", shade="dark", data=text(2 * KB))
    assert table.count("PutItem").write_units == 2 + 1
    table.update("a", "SET note = :note", note="not in any index")
    assert table.count("UpdateItem").write_units == 2
    table.update("a", "SET shade = :shade", shade="light")
    assert table.count("UpdateItem").write_units == 2 + 1
    table.update("a", "SET color = :color", color="blue")
    assert table.count("UpdateItem").write_units == 2 + 2
    table.update("a", "SET lane = :lane, place = :place", lane="0", place="1")
    assert table.count("UpdateItem").write_units == 2 + 1
    table.update("a", "REMOVE color, place")
    assert table.count("UpdateItem").write_units == 2 + 1 + 1


def test_a_refused_write_costs_as_if_it_were_done(table: Metered) -> None:
    refused = table.dynamodb.exceptions.ConditionalCheckFailedException
    table.put("a", color="red", data=text(3 * KB))
    table.proxy.reset()
    with pytest.raises(refused):
        table.update("a", "SET color = :color", "attribute_not_exists(id)", color="blue")
    assert table.count("UpdateItem") == Count(calls=1, failed=1, write_units=3)
    with pytest.raises(refused):
        table.update("nobody", "SET color = :color", "attribute_exists(id)", color="blue")
    assert table.count("UpdateItem") == Count(calls=1, failed=1, write_units=1)
    with pytest.raises(refused):
        table.dynamodb.put_item(
            TableName=table.name,
            Item=item("a", data=text(5 * KB)),
            ConditionExpression="attribute_not_exists(id)",
        )
    assert table.count("PutItem").write_units == 5


def test_a_delete_costs_the_item_and_its_entries(table: Metered) -> None:
    table.put("a", color="red", data=text(3 * KB))
    table.dynamodb.delete_item(TableName=table.name, Key=key("a"))
    assert table.count("DeleteItem").write_units == 3 + 1
    table.dynamodb.delete_item(TableName=table.name, Key=key("a"))
    assert table.count("DeleteItem").write_units == 1


def test_a_batch_write_is_its_writes(table: Metered) -> None:
    table.put("old", data=text(4 * KB))
    items = [item("a", color="red"), item("b", data=text(2 * KB))]
    puts: list[Any] = [{"PutRequest": {"Item": each}} for each in items]
    table.dynamodb.batch_write_item(
        RequestItems={table.name: [*puts, {"DeleteRequest": {"Key": key("old")}}]}
    )
    assert table.count("BatchWriteItem") == Count(calls=1, write_units=(1 + 1) + 2 + 4)


def test_a_transaction_costs_twice(table: Metered) -> None:
    table.put("b", data=text(2 * KB))
    table.dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table.name, "Item": item("a", color="red")}},
            {
                "ConditionCheck": {
                    "TableName": table.name,
                    "Key": key("b"),
                    "ConditionExpression": "attribute_exists(id)",
                }
            },
        ]
    )
    assert table.count("TransactWriteItems").write_units == 2 * (1 + 1) + 2 * 2
    table.dynamodb.transact_get_items(
        TransactItems=[{"Get": {"TableName": table.name, "Key": key(name)}} for name in ("a", "b", "nobody")]
    )
    assert table.count("TransactGetItems") == Count(calls=1, read_units=6, items_read=2)


def test_each_statement_of_a_partiql_batch_costs_as_its_operation(table: Metered) -> None:
    table.put("a", color="red", data=text(2 * KB))
    table.put("b", data=text(3 * KB))
    table.proxy.reset()
    update = (
        f"""UPDATE "{table.name}" SET color = ? WHERE id = ? AND part = 'state' AND attribute_exists(id)"""
    )
    answer = table.dynamodb.batch_execute_statement(
        Statements=[
            {"Statement": update, "Parameters": [{"S": "blue"}, {"S": name}]} for name in ("a", "b", "nobody")
        ]
    )
    codes = [response.get("Error", {}).get("Code") for response in answer["Responses"]]
    assert codes == [None, None, "ConditionalCheckFailed"]
    assert table.count("BatchExecuteStatement").write_units == (2 + 2) + (3 + 1) + 1
    insert = f"""INSERT INTO "{table.name}" VALUE {{'id': ?, 'part': 'state', 'color': 'red'}}"""
    table.dynamodb.execute_statement(Statement=insert, Parameters=[{"S": "c"}])
    assert table.count("ExecuteStatement").write_units == 2
    select = f"""SELECT color FROM "{table.name}" WHERE id = ? AND part = 'state'"""
    table.put("d", data=text(9 * KB))
    table.dynamodb.batch_execute_statement(
        Statements=[{"Statement": select, "Parameters": [{"S": name}]} for name in ("d", "nobody")]
    )
    assert table.count("BatchExecuteStatement") == Count(calls=1, read_units=1.5 + 0.5, items_read=1)


def test_a_get_costs_the_whole_item_also_when_it_shows_a_part(table: Metered) -> None:
    table.put("a", data=text(9 * KB))
    table.dynamodb.get_item(TableName=table.name, Key=key("a"))
    assert table.count("GetItem") == Count(calls=1, read_units=1.5, items_read=1)
    table.dynamodb.get_item(
        TableName=table.name, Key=key("a"), ConsistentRead=True, ProjectionExpression="id"
    )
    assert table.count("GetItem") == Count(calls=1, read_units=3, items_read=1)
    table.dynamodb.get_item(TableName=table.name, Key=key("nobody"), ConsistentRead=True)
    assert table.count("GetItem") == Count(calls=1, read_units=1)


def test_a_batch_get_rounds_each_item(table: Metered) -> None:
    table.put("a", data=text(1.5 * KB))
    table.put("b", data=text(6.5 * KB))
    request: Any = {table.name: {"Keys": [key("a"), key("b"), key("nobody")], "ConsistentRead": True}}
    table.dynamodb.batch_get_item(RequestItems=request)
    assert table.count("BatchGetItem") == Count(calls=1, read_units=1 + 2 + 1, items_read=2)
    request[table.name]["ProjectionExpression"] = "part"
    table.dynamodb.batch_get_item(RequestItems=request)
    assert table.count("BatchGetItem") == Count(calls=1, read_units=1 + 2 + 1, items_read=2)


def test_a_query_costs_what_it_reads_not_what_it_shows(table: Metered) -> None:
    parts = [{**item("a", data=text(3 * KB)), "part": {"S": str(number)}} for number in range(5)]
    for each in parts:
        table.dynamodb.put_item(TableName=table.name, Item=each)
    condition: Any = {
        "TableName": table.name,
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": "a"}},
    }
    table.dynamodb.query(**condition, ConsistentRead=True)
    assert table.count("Query") == Count(calls=1, read_units=4, items_read=5)
    table.dynamodb.query(**condition, ProjectionExpression="part")
    assert table.count("Query") == Count(calls=1, read_units=2, items_read=5)
    table.dynamodb.query(**condition, Select="COUNT", Limit=2)
    assert table.count("Query") == Count(calls=1, read_units=1, items_read=2)
    condition["ExpressionAttributeValues"] = {":id": {"S": "nobody"}}
    table.dynamodb.query(**condition)
    assert table.count("Query") == Count(calls=1, read_units=0.5)


def test_a_query_of_an_index_costs_its_entries(table: Metered) -> None:
    for number in range(20):
        table.put(f"item-{number}", lane="0", place=str(number), data=text(3 * KB))
    table.dynamodb.query(
        TableName=table.name,
        IndexName="byPlace",
        KeyConditionExpression="lane = :lane",
        ExpressionAttributeValues={":lane": {"S": "0"}},
    )
    assert table.count("Query") == Count(calls=1, read_units=0.5, items_read=20)


def test_errors_come_back_and_cost_nothing(table: Metered) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        table.dynamodb.put_item(TableName="nobodys", Item=item("a"))
    assert table.count("PutItem") == Count(calls=1, failed=1)
    with pytest.raises(ClientError, match="ValidationException"):
        table.dynamodb.get_item(TableName=table.name, Key={"id": {"S": "a"}})
    assert table.count("GetItem") == Count(calls=1, failed=1)
    with pytest.raises(ClientError, match="ValidationException"):
        table.dynamodb.put_item(TableName=table.name, Item={"part": {"S": "state"}})
    assert table.count("PutItem") == Count(calls=1, failed=1)


def test_writers_of_one_item_are_told_apart(table: Metered) -> None:
    """Each update makes the item 1 KB larger: an image taken out of turn would show a later size."""

    def grow(number: int) -> None:
        table.update("a", f"SET text_{number:02} = :text", text="." * (KB - len("text_00")))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(grow, range(24)))
    # The key makes each size a little more than whole KB.
    assert table.count("UpdateItem") == Count(calls=24, write_units=sum(range(2, 26)))


def test_a_changed_table_is_looked_at_again(table: Metered) -> None:
    table.put("a", mood="good")
    assert table.count("PutItem").write_units == 1
    table.dynamodb.update_table(
        TableName=table.name,
        AttributeDefinitions=[{"AttributeName": "mood", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "byMood",
                    "KeySchema": [{"AttributeName": "mood", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            }
        ],
    )
    table.put("b", mood="good")
    assert table.count("PutItem").write_units == 2


def test_what_cannot_be_priced_is_not_passed_over(table: Metered) -> None:
    table.dynamodb.execute_statement(Statement=f'SELECT * FROM "{table.name}"')
    with pytest.raises(MeterError, match="ExecuteStatement with SELECT"):
        table.proxy.counts()
    table.proxy.reset()
    assert table.proxy.counts() == {}


def test_sqs_calls_are_counted_by_their_payload(proxy: MeterProxy) -> None:
    sqs: SQSClient = client("sqs", proxy.url)
    queue = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="." * (64 * KB + 1))
    received = sqs.receive_message(QueueUrl=queue)["Messages"][0]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=received.get("ReceiptHandle", ""))
    assert proxy.counts() == {
        "sqs.CreateQueue": Count(calls=1, billed_requests=1),
        "sqs.SendMessage": Count(calls=1, billed_requests=2),
        "sqs.ReceiveMessage": Count(calls=1, billed_requests=2),
        "sqs.DeleteMessage": Count(calls=1, billed_requests=1),
    }


def test_calls_of_other_services_are_counted(proxy: MeterProxy) -> None:
    client("lambda", proxy.url).list_functions()
    client("sts", proxy.url).get_caller_identity()
    assert proxy.counts() == {
        "lambda.GET /2015-03-31": Count(calls=1),
        "sts.GetCallerIdentity": Count(calls=1),
    }


def test_a_connection_carries_many_requests_chunked_or_not(table: Metered) -> None:
    port = int(table.proxy.url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {
        "x-amz-target": "DynamoDB_20120810.PutItem",
        "content-type": "application/x-amz-json-1.0",
        "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request",
    }
    body = json.dumps({"TableName": table.name, "Item": item("a", data=text(2 * KB))}).encode()
    sockets: list[object] = []
    for chunked in (True, False, True):
        pieces = iter([body[:100], body[100:]]) if chunked else body
        connection.request("POST", "/", pieces, headers, encode_chunked=chunked)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"{}")
        sockets.append(connection.sock)
    connection.close()
    assert len(set(map(id, sockets))) == 1
    assert table.count("PutItem") == Count(calls=3, write_units=6)


class Recorder:
    """An endpoint that answers everything with the same status and body, and remembers what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.seen.append((self.command, self.path, headers, self.rfile.read(length)))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-amzn-requestid", "request-1")
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing: the test's own output is enough."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_requests_and_answers_pass_unchanged() -> None:
    with Recorder(418, b"{}") as endpoint, MeterProxy(endpoint.url) as proxy:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
        sent = {
            "host": "sqs.us-east-1.example",
            "accept-encoding": "identity",
            "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/execute-api/aws4_request",
            "x-amz-meta": "a, b",
        }
        connection.request("POST", "/a%2Fb//c?d=%7Ee%20&f", b"body", sent)
        response = connection.getresponse()
        assert (response.status, response.read()) == (418, b"{}")
        assert response.headers["x-amzn-requestid"] == "request-1"
        connection.close()
    assert endpoint.seen == [("POST", "/a%2Fb//c?d=%7Ee%20&f", {**sent, "content-length": "4"}, b"body")]


def test_a_call_is_forwarded_once_even_if_its_answer_cannot_be_priced() -> None:
    with Recorder(200, b"no JSON") as endpoint, MeterProxy(endpoint.url) as proxy:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
        connection.request("POST", "/", b"{}", {"x-amz-target": "DynamoDB_20120810.ListTables"})
        assert connection.getresponse().read() == b"no JSON"
        connection.close()
        with pytest.raises(MeterError, match="ListTables"):
            proxy.counts()
    assert len(endpoint.seen) == 1


def test_an_endpoint_that_is_gone_is_a_bad_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    with MeterProxy(gone) as proxy, pytest.raises(ClientError, match="502"):
        client("dynamodb", proxy.url).list_tables()
