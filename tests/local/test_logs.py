"""Following logs: every line once, whatever the order in which it becomes visible."""

from typing import Any

from local.aws import Aws, AwsError
from local.logs import FunctionLog, Line, LogFollower, function_logs
from local.program import Created

GROUP = "/aws/lambda/f"


class LogGroup(Aws):
    """One log group that holds what the test puts in it."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "eu-west-1")
        self.events: list[dict[str, Any]] | None = []

    def put(self, stream: str, timestamp: int, *messages: str) -> None:
        assert self.events is not None
        for message in messages:
            self.events.append({"logStreamName": stream, "timestamp": timestamp, "message": message})

    def call(self, service: str, operation: str, request: Any) -> dict[str, Any]:
        assert (service, operation, request["logGroupName"]) == ("logs", "filter_log_events", GROUP)
        if self.events is None:
            raise AwsError("no such group", "ResourceNotFoundException")
        found = [event for event in self.events if event["timestamp"] >= request["startTime"]]
        return {"events": sorted(found, key=lambda event: event["timestamp"])[: request["limit"]]}


def texts(follower: LogFollower) -> list[str]:
    return [line.text for line in follower.read()]


def test_each_line_comes_once_also_from_new_streams_and_equal_ones() -> None:
    group = LogGroup()
    follower = LogFollower(group, [FunctionLog("f", GROUP)])
    assert texts(follower) == []
    group.put("one", 1000, "a", "a")
    assert texts(follower) == ["a", "a"]
    group.put("two", 1000, "a")
    group.put("one", 1000, "a")
    assert texts(follower) == ["a", "a"]
    group.put("three", 90_000, "late\nrest")
    assert texts(follower) == ["late", "rest"]
    assert texts(follower) == []


def test_a_line_that_becomes_visible_after_a_later_one_is_not_lost() -> None:
    group = LogGroup()
    follower = LogFollower(group, [FunctionLog("f", GROUP)])
    group.put("one", 50_000, "second")
    assert texts(follower) == ["second"]
    group.put("two", 49_000, "first")
    assert texts(follower) == ["first"]
    assert texts(follower) == []


def test_more_lines_than_one_answer_holds_are_all_read_at_once() -> None:
    group = LogGroup()
    follower = LogFollower(group, [FunctionLog("f", GROUP)])
    for index in range(25_000):
        group.put("one", 1000 + index // 100, str(index))
    assert texts(follower) == [str(index) for index in range(25_000)]


def test_a_group_that_does_not_exist_yet_is_empty() -> None:
    group = LogGroup()
    group.events = None
    follower = LogFollower(group, [FunctionLog("f", GROUP)])
    assert texts(follower) == []
    group.events = []
    group.put("one", 1, "a")
    assert follower.read() == [Line("f", "a")]


def test_platform_lines_are_shown_unless_the_function_asks_for_warnings_only() -> None:
    plain = Created("aws:lambda/function:Function", "f", "f", {}, {"name": "f"})
    logging = {"systemLogLevel": "WARN", "logGroup": GROUP}
    quiet = Created("aws:lambda/function:Function", "g", "g", {}, {"name": "g", "loggingConfig": logging})
    other = Created("aws:sqs/queue:Queue", "q", "q", {}, {"name": "q"})
    assert function_logs([plain, other, quiet]) == [
        FunctionLog("f", GROUP),
        FunctionLog("g", GROUP, platform_lines=False),
    ]
    group = LogGroup()
    group.put(
        "one",
        1,
        "START RequestId: 1 Version: $LATEST",
        "a",
        "END RequestId: 1",
        "REPORT RequestId: 1\tDuration",
    )
    assert len(texts(LogFollower(group, [FunctionLog("f", GROUP)]))) == 4
    assert texts(LogFollower(group, [FunctionLog("g", GROUP, platform_lines=False)])) == ["a"]
