"""`POST /tasks`, through its handler, as API Gateway calls it."""

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tasklib.task import Status

from .conftest import Stack, lambda_context

Post = Callable[..., tuple[int, dict[str, Any], dict[str, str]]]


@pytest.fixture
def post(stack: Stack, load: Callable[[str], ModuleType]) -> Post:
    module = load("submit_tasks")

    def post(body: object, **event: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
        text = body if isinstance(body, str) else json.dumps(body)
        answer = module.handler(
            {
                "routeKey": "POST /tasks",
                "rawPath": "/tasks",
                "headers": {"content-type": "application/json"},
                "requestContext": {"http": {"method": "POST"}, "requestId": "gateway-id="},
                "body": text,
                "isBase64Encoded": False,
            }
            | event,
            lambda_context(),
        )
        return answer["statusCode"], json.loads(answer["body"]), answer["headers"]

    return post


def nested(depth: int) -> str:
    return '{"payload":' + '{"a":' * depth + "1" + "}" * depth + "}"


def test_a_new_task_is_stored_and_queued(stack: Stack, post: Post) -> None:
    status, task, headers = post({"taskId": "a:b-c", "answer": "42"}, headers={"x-correlation-id": "mine"})
    assert status == 202
    assert headers["location"] == "/tasks/a:b-c"
    assert headers["x-correlation-id"] == "mine"
    assert task | {"createdAt": "", "updatedAt": ""} == {
        "taskId": "a:b-c",
        "type": "simulate",
        "answer": "42",
        "status": "PENDING",
        "attempts": 0,
        "retries": 0,
        "run": 1,
        "version": 1,
        "createdAt": "",
        "updatedAt": "",
    }
    assert task["createdAt"] == task["updatedAt"]
    (message,) = stack.receive(stack.task_queue_url)
    assert json.loads(message.body) == {
        "taskId": "a:b-c",
        "run": 1,
        "type": "simulate",
        "correlationId": "mine",
    }


def test_a_task_without_an_id_gets_one_of_its_own(post: Post) -> None:
    ids = {post({"answer": "x"})[1]["taskId"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(task_id) == 36 for task_id in ids)


def test_a_correlation_id_that_is_not_sane_is_replaced(post: Post) -> None:
    for bad in ("", "a b", "x" * 129, "a\nb"):
        assert (
            post({"answer": "x"}, headers={"x-correlation-id": bad})[2]["x-correlation-id"] == "gateway-id="
        )


def test_the_same_again_is_the_same_task(stack: Stack, post: Post) -> None:
    first = post({"taskId": "t", "payload": {"a": 1, "b": 2}})
    again = post({"payload": {"b": 2, "a": 1}, "taskId": "t", "type": "simulate"})
    assert (first[0], again[0]) == (202, 200)
    assert first[1] == again[1]
    assert len(stack.items()) == 1


def test_the_same_id_with_other_content_is_a_conflict(stack: Stack, post: Post) -> None:
    post({"taskId": "t", "answer": "one"})
    status, problem, headers = post({"taskId": "t", "answer": "two"})
    assert status == 409
    assert problem["detail"] == "Task t exists with other content."
    assert headers["content-type"] == "application/problem+json"
    assert stack.record("t").version == 1


def test_a_body_in_base64_is_read(post: Post) -> None:
    body = base64.b64encode('{"answer":"ü"}'.encode()).decode()
    assert post(body, isBase64Encoded=True)[1]["answer"] == "ü"


def test_data_up_to_the_limit_is_taken(post: Post) -> None:
    text = "x" * (256 * 1024 - 2)
    assert post({"answer": text})[0] == 202
    assert post({"payload": {"a": text[:-6]}})[0] == 202


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ("", 400, ["body"]),
        ("{", 400, ["body"]),
        ("nonsense", 400, ["body"]),
        ("[]", 400, ["body"]),
        ("null", 400, ["body"]),
        ('"text"', 400, ["body"]),
        ("[" * 100_000, 400, ["body"]),
        ('{"a":' * 100_000, 400, ["body"]),
        ('{"answer": NaN}', 400, ["body"]),
        ('{"payload": {"n": ' + "9" * 5000 + "}}", 400, ["payload.n"]),
        ('{"payload": {"n": 1e999}}', 400, ["payload.n"]),
        (
            '{"payload": {"lines": [1, 2, {"price": 1e999}], "a": [[1e-999]]}, "answer": 1e999}',
            400,
            ["payload.lines[2].price", "payload.a[0][0]", "answer"],
        ),
        ('{"delaySeconds": 1e999, "taskId": 1e999}', 400, ["delaySeconds", "taskId"]),
        ("1e999", 400, ["body"]),
        ('{"answer": "x", "answer": "y"}', 400, ["answer"]),
        ('{"answer": "x", "answer": "x", "a": 1, "a": 2, "a": 3}', 400, ["answer", "a"]),
        ('{"answer": "x", "\\u0061nswer": "y"}', 400, ["answer"]),
        (
            '{"payload": {"a": [{}, {"b": 1, "c": {"": 1, "": 2}, "b": 1e999}]}}',
            400,
            ["payload.a[1].b", "payload.a[1].b", "payload.a[1].c."],
        ),
        (nested(101), 400, ["payload"]),
        (nested(900), 400, ["payload"]),
        ('{"payload": {"a": ' + "[" * 500 + "]" * 500 + "}}", 400, ["payload"]),
        ('{"answer": "\\ud800"}', 400, ["answer"]),
        ('{"payload": {"\\udfff": 1}}', 400, ["payload"]),
        ('{"answer": "x", "taskId": "\\ud800"}', 400, ["taskId"]),
        ('{"answer": "x", "\\ud800": 1}', 400, ["\\ud800"]),
        ("\ud800", 400, ["body"]),
        ("{}", 400, ["answer"]),
        ('{"answer": ""}', 400, ["answer"]),
        ('{"answer": 5}', 400, ["answer"]),
        ('{"answer": null}', 400, ["answer"]),
        ('{"payload": []}', 400, ["payload"]),
        ('{"payload": "x"}', 400, ["payload"]),
        ('{"answer": "x", "payload": {}}', 400, ["payload"]),
        ('{"answer": "x", "type": "nope"}', 400, ["type"]),
        ('{"answer": "x", "type": {"a": 1}}', 400, ["type"]),
        ('{"answer": "x", "type": null}', 400, ["type"]),
        ('{"answer": "x", "taskId": null}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": ""}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": "a b"}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": "a\\n"}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": 7}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": "."}', 400, ["taskId"]),
        ('{"answer": "x", "taskId": ".."}', 400, ["taskId"]),
        (json.dumps({"answer": "x", "taskId": "x" * 129}), 400, ["taskId"]),
        ('{"Answer": "x", "status": "COMPLETED"}', 400, ["Answer", "status", "answer"]),
        ('{"x": 1, "taskId": "?", "type": 9, "answer": 0}', 400, ["x", "taskId", "type", "answer"]),
        (json.dumps({"payload": {"text": "x" * 300_000}}), 413, ["payload"]),
        (json.dumps({"answer": "x" * (256 * 1024 - 1)}), 413, ["answer"]),
        (json.dumps({"answer": '"' * 131_072}), 413, ["answer"]),
        (json.dumps({"answer": "x" * 3_000_000}), 413, ["body"]),
    ],
)
def test_bad_input_is_named_field_by_field_and_stores_nothing(
    stack: Stack, post: Post, body: str, status: int, fields: list[str]
) -> None:
    answer, problem, headers = post(body)
    assert answer == status == problem["status"]
    assert headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail", "errors"} <= problem.keys()
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(len(error["message"]) < 250 for error in problem["errors"])
    assert stack.items() == []
    assert stack.receive(stack.task_queue_url) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 100_000, "is not JSON: it nests too deep"),
        (b"9" * 4301, "is a number of more than 4300 digits; send it as a string"),
        (b"1e400", "is a number that would be stored as another one; send it as a string"),
        (b'{"answer": "\xff"}', "is not JSON: it is not UTF-8"),
        (b'{"answer": "\xed\xa0\x80"}', "is not JSON: it is not UTF-8"),
        (b'{"answer": Infinity}', "is not JSON: Infinity is no JSON value"),
        (b'{"answer": ', "is not JSON: 'Expecting value: line 1 column 12 (char 11)'"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_so_without_words_of_python(
    post: Post, body: bytes, message: str
) -> None:
    status, problem, _ = post(base64.b64encode(body).decode(), isBase64Encoded=True)
    assert (status, problem["errors"]) == (400, [{"field": "body", "message": message}])


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp500"]
)
@pytest.mark.parametrize("text", ['{"answer": "x"}', "7"])
def test_a_body_that_is_not_utf_8_is_refused(stack: Stack, post: Post, encoding: str, text: str) -> None:
    status, problem, _ = post(base64.b64encode(text.encode(encoding)).decode(), isBase64Encoded=True)
    message = "is not JSON: it is not UTF-8"
    assert (status, problem["errors"]) == (400, [{"field": "body", "message": message}])
    assert stack.items() == []


def test_a_byte_order_mark_of_utf_8_is_passed_over(post: Post) -> None:
    text = '{"answer": "ü"}'
    for body in (f"\ufeff{text}".encode(), text.encode("utf-8-sig")):
        status, task, _ = post(base64.b64encode(body).decode(), isBase64Encoded=True)
        assert (status, task["answer"]) == (202, "ü")
    assert post(f"\ufeff{text}")[1]["answer"] == "ü"
    assert post(f"\ufeff\ufeff{text}")[0] == 400


#: The text of a number, and what is stored; None: it is refused.
NUMBERS: dict[str, str | None] = {
    "0": "0",
    "-0": "-0.0",
    "0.0": "0.0",
    "-0.0": "-0.0",
    "0e99": "0.0",
    "-0E-99999999999999999999": "-0.0",
    "1": "1",
    "1.0": "1.0",
    "1e2": "100.0",
    "1E+2": "100.0",
    "0.1": "0.1",
    "0.10": "0.1",
    "199.50": "199.5",
    "123456789012.345": "123456789012.345",
    "0.1000000000000000000000": "0.1",
    "0.30000000000000004": "0.30000000000000004",
    # As C's %.17g and .NET's R write the doubles 0.1 and 0.7999999999999999.
    "0.10000000000000001": "0.1",
    "0.79999999999999993": "0.7999999999999999",
    "0.79999999999999991": None,
    "0.1000000000000000055511151231257827021181583404541015625": None,
    "3.141592653589793": "3.141592653589793",
    "3.141592653589793238462643383279": None,
    "900719925474099.3": None,
    "9007199254740993": "9007199254740993",
    # Whole numbers that are too long for a double.
    "9007199254740993.0": "9007199254740993",
    "-9007199254740993.0": "-9007199254740993",
    "97117170076014496.0": "97117170076014496",
    "1.2345678901234567890123e22": "12345678901234567890123",
    "9007199254740992.0": "9007199254740992.0",
    "12345678901234567.89": None,
    "12345678901234567.0": "12345678901234567",
    "12345678901234568.0": "1.2345678901234568e+16",
    "12345678901234567890123": "12345678901234567890123",
    "1e23": "1e+23",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "1.7976931348623159e308": None,
    "1e400": None,
    "-1e400": None,
    "1e99999999999999999999": None,
    "5e-324": "5e-324",
    "3e-324": None,
    "1e-400": None,
    "-1e-400": None,
    "1e-99999999999999999999": None,
    "9" * 4300: "9" * 4300,
    "9" * 4301: None,
}


@pytest.mark.parametrize(("text", "stored"), NUMBERS.items(), ids=lambda text: str(text)[:30])
def test_a_number_is_stored_as_it_is_or_refused(
    stack: Stack, post: Post, text: str, stored: str | None
) -> None:
    status, answer, _ = post(f'{{"taskId": "t", "payload": {{"a": [1, {{"n": {text}}}]}}}}')
    if stored is None:
        (error,) = answer["errors"]
        assert (status, error["field"]) == (400, "payload.a[1].n")
        assert stack.items() == []
    else:
        assert status == 202
        assert stack.store.load_data(stack.record("t")) == ("payload", f'{{"a":[1,{{"n":{stored}}}]}}')


@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        ("1", "1.0", 200),
        ("1.0", "1", 200),
        ("1", "10e-1", 200),
        ("100", "1e2", 200),
        ("100.0", "10E1", 200),
        ("0", "-0", 200),
        ("-0.0", "0", 200),
        ("0.5", "5e-1", 200),
        ("1e23", "1" + "0" * 23, 200),
        ("1e23", "99999999999999991611392", 409),
        ("9007199254740992.0", "9007199254740993", 409),
        ("97117170076014496", "97117170076014496.0", 200),
        ("97117170076014496.0", "97117170076014500", 409),
        ("1", "1.5", 409),
        ("1", "-1.0", 409),
        ("1", "true", 409),
        ("1.0", '"1.0"', 409),
        ("0", "null", 409),
    ],
)
def test_equal_numbers_are_the_same_content(post: Post, first: str, again: str, status: int) -> None:
    text = '{"taskId": "t", "payload": {"a": [%s], "b": 2}}'
    assert post(text % first)[0] == 202
    assert post(text % again)[0] == status


@pytest.mark.parametrize("delay", ["0", "-0", "0.0", "60", "60.0", "6e1", "0.5", "31622400.0"])
def test_a_delay_is_any_form_of_a_number(post: Post, delay: str) -> None:
    assert post(f'{{"answer": "x", "delaySeconds": {delay}}}')[0] == 202


def test_a_place_deep_inside_is_named_as_far_as_is_short(post: Post) -> None:
    names = [f"{number:03}{'x' * 60}" for number in range(10)]
    text = "".join(f'{{"{name}":' for name in names) + "1e999" + "}" * 10
    status, problem, _ = post(f'{{"payload": {text}}}')
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == [f"payload.{'.'.join(names[:3])}"]
    status, problem, _ = post('{"%s": 1, "%s": 2}' % (("\U0001f600" * 100,) * 2))
    assert (status, problem["errors"][0]["field"]) == (400, "body")


def test_very_many_numbers_that_cannot_be_kept_are_counted(post: Post) -> None:
    status, problem, _ = post(f'{{"payload": {{"a": [{",".join(["1e999"] * 40_000)}]}}}}')
    assert status == 400
    assert len(problem["errors"]) == 51
    assert problem["errors"][49]["field"] == "payload.a[49]"
    assert problem["errors"][50] == {"field": "body", "message": "has 39950 more errors"}


@pytest.mark.parametrize("depth", [98, 99, 100, 101, 900])
def test_nothing_is_too_deep_inside_to_be_refused(stack: Stack, post: Post, depth: int) -> None:
    for inside in ("1e999", '{"b":1,"b":2}', f"{'[' * 500}1e999{']' * 500}"):
        start, end = '{"a":' * depth, "}" * depth
        assert post(f'{{"payload":{start}{inside}{end}}}')[0] == 400
    assert stack.items() == []


@pytest.mark.parametrize("task_id", [".", ".."])
def test_an_id_that_no_url_can_name_is_refused_and_one_that_only_looks_like_it_is_not(
    post: Post, task_id: str
) -> None:
    _, problem, _ = post({"answer": "x", "taskId": task_id})
    rule = "it must be 1 to 128 of A-Z a-z 0-9 . _ : -, but not . or .."
    assert problem["errors"] == [{"field": "taskId", "message": f"is '{task_id}'; {rule}"}]
    for near in ("...", f"{task_id}a", f"a{task_id}", f"{task_id}:"):
        assert post({"answer": "x", "taskId": near})[0] == 202


def test_an_answer_to_very_many_errors_stays_small(post: Post) -> None:
    status, problem, _ = post({f"unknown-{number}": 1 for number in range(50_000)})
    assert status == 400
    assert len(problem["errors"]) == 51
    assert problem["errors"][-1] == {"field": "body", "message": "has 49951 more errors"}
    assert len(json.dumps(problem)) < 20_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=json_values
    | st.dictionaries(st.sampled_from(["taskId", "type", "answer", "payload", "x"]), json_values)
    | st.fixed_dictionaries({"payload": st.dictionaries(st.text(), json_values)})
)
def test_whatever_is_sent_the_answer_is_a_client_s_error_or_the_task(post: Post, body: object) -> None:
    status, answer, _ = post(body)
    assert status in (202, 200, 409, 400)
    if status == 202:
        assert isinstance(body, dict)
        assert {"answer": answer.get("answer"), "payload": answer.get("payload")} == {
            "answer": body.get("answer"),  # pyright: ignore[reportUnknownMemberType]
            "payload": body.get("payload"),  # pyright: ignore[reportUnknownMemberType]
        }


def test_a_task_that_cannot_be_queued_is_accepted_all_the_same(stack: Stack, post: Post) -> None:
    stack.sqs.delete_queue(QueueUrl=stack.task_queue_url)
    assert post({"taskId": "t", "answer": "x"})[0] == 202
    assert stack.record("t").status is Status.PENDING


def test_without_an_answer_from_the_table_the_client_may_send_again(
    load: Callable[[str], ModuleType], stack: Stack, post: Post
) -> None:
    stack.dynamodb.delete_table(TableName=stack.table)
    status, problem, headers = post({"taskId": "t", "answer": "x"})
    assert (status, headers["retry-after"]) == (503, "1")
    assert stack.table not in json.dumps(problem)
    assert stack.receive(stack.task_queue_url) == []


class TestAnIdempotencyKey:
    def test_makes_one_task_of_repeated_requests(self, stack: Stack, post: Post) -> None:
        headers = {"idempotency-key": "order 4711"}
        first = post({"answer": "x"}, headers=headers)
        again = post({"answer": "x"}, headers=headers)
        assert (first[0], again[0]) == (202, 200)
        assert first[1]["taskId"] == again[1]["taskId"]
        assert post({"answer": "y"}, headers=headers)[0] == 409
        assert post({"answer": "x"}, headers={"idempotency-key": "order 4712"})[0] == 202
        assert len(stack.items()) == 2

    def test_gives_way_to_a_task_id(self, post: Post) -> None:
        assert post({"taskId": "t", "answer": "x"}, headers={"idempotency-key": "k"})[1]["taskId"] == "t"

    @pytest.mark.parametrize("key", ["", "x" * 256, "\u00fc", "a\nb"])
    def test_that_is_not_sane_is_refused(self, stack: Stack, post: Post, key: str) -> None:
        status, problem, _ = post({"answer": "x"}, headers={"idempotency-key": key})
        assert status == 400
        assert problem["errors"][0]["field"] == "Idempotency-Key"
        assert stack.items() == []


INVOICE = {"lines": [{"text": "Pen", "priceCents": 199}]}


def test_a_payload_that_fits_its_type_is_kept_as_it_came(stack: Stack, post: Post) -> None:
    status, task, _ = post({"taskId": "bill", "type": "invoice", "payload": INVOICE})
    assert (status, task["payload"]) == (202, INVOICE)


def test_a_payload_that_does_not_fit_its_type_is_refused_with_all_that_is_wrong(
    stack: Stack, post: Post
) -> None:
    payload = {"lines": [{"text": "", "priceCents": 1.5}], "vat": 7}
    status, problem, _ = post({"taskId": "no spaces", "type": "invoice", "payload": payload, "runAt": 1})
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == [
        "taskId",
        "runAt",
        "payload.vat",
        "payload.lines[0].text",
        "payload.lines[0].priceCents",
    ]
    assert stack.items() == []


def test_a_type_with_a_payload_takes_no_answer(stack: Stack, post: Post) -> None:
    status, problem, _ = post({"type": "invoice", "answer": "42"})
    assert (status, [error["field"] for error in problem["errors"]]) == (400, ["answer"])
    assert stack.items() == []


def test_more_than_fifty_errors_of_a_payload_are_counted(stack: Stack, post: Post) -> None:
    status, problem, _ = post({"type": "invoice", "payload": {"lines": [1] * 500}})
    assert status == 400
    assert len(problem["errors"]) == 51
    assert problem["errors"][-1] == {"field": "body", "message": "has 450 more errors"}


def test_a_payload_that_is_too_large_is_not_looked_into(stack: Stack, post: Post) -> None:
    status, problem, _ = post({"type": "invoice", "payload": {"lines": [1] * 140_000}})
    assert (status, len(problem["errors"])) == (413, 1)
