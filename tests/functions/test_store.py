"""The store's writes, each of which must be made by one writer at most, and what they cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from tasklib import aws, clock
from tasklib.record import key_of, to_item
from tasklib.store import Change, ListIndex, Outcome, TaskStore
from tasklib.task import Status, Task, TaskData, created_key

from .conftest import Stack, a_task
from .wire import Wire

LARGE = TaskData("payload", '{"text":"' + "x" * 2000 + '"}')


class TestSubmission:
    def test_of_an_id_that_is_taken_changes_nothing(self, stack: Stack) -> None:
        task = stack.submit("t", payload='{"a":1}')
        other = replace(task, content_hash="other", correlation_id="other")
        existing = stack.store.create(other, TaskData("payload", '{"a":2}'), data_lifetime=0)
        assert existing
        assert existing.content_hash == task.content_hash
        assert stack.record("t").data == TaskData("payload", '{"a":1}')

    def test_whose_answer_was_lost_knows_its_own_record(self, stack: Stack) -> None:
        task = stack.submit("t")
        assert stack.store.create(task, TaskData("payload", "{}"), data_lifetime=0) is None

    def test_by_two_clients_at_the_same_moment_is_won_by_one(self, stack: Stack) -> None:
        task = stack.submit("t")  # same millisecond, same correlation id
        existing = stack.store.create(
            replace(task, content_hash="other"), TaskData("payload", "[]"), data_lifetime=0
        )
        assert existing == stack.record("t")

    def test_keeps_large_data_in_an_item_of_its_own(self, stack: Stack) -> None:
        task = stack.submit("t", payload=LARGE.text)
        assert sorted(item["part"]["S"] for item in stack.items()) == [f"data#{task.content_hash}", "state"]
        record = stack.record("t")
        assert record.data is None
        assert stack.store.load_data(record) == LARGE

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("length", [*range(380, 520, 10), 700])
    def test_keeps_a_record_within_one_write_unit_until_it_is_completed(
        self, stack: Stack, length: int
    ) -> None:
        text = '{"t":"' + "x" * length + '"}'
        stack.submit("t" * 36, payload=text, correlation_id="c" * 36)
        task, now = stack.record("t" * 36), clock.now()
        claimed = task.claimed("c" * 22, lease_until=now, now=now)
        completed = claimed.completed('{"workedSeconds":1.0}', keep=clock.DAY, now=now)
        assert stack.store.change(task, claimed)
        assert stack.store.change(claimed, completed)
        (state,) = [item for item in stack.items() if item["part"]["S"] == "state"]
        size = sum(len(name) + len(next(iter(value.values()))) for name, value in state.items())
        assert size <= 1024

    def test_that_is_refused_leaves_no_data_behind(self, stack: Stack) -> None:
        task = stack.submit("t", payload='{"a":1}')
        refused = replace(task, content_hash=LARGE.content_hash("echo"), correlation_id="other")
        assert stack.store.create(refused, LARGE, data_lifetime=0)
        assert [item["part"]["S"] for item in stack.items()] == ["state"]

    def test_sent_again_keeps_the_data(self, stack: Stack) -> None:
        task = stack.submit("t", payload=LARGE.text)
        again = replace(task, correlation_id="other")
        assert stack.store.create(again, LARGE, data_lifetime=0)
        assert stack.store.load_data(stack.record("t")) == LARGE

    def test_replaces_a_record_whose_time_is_over(self, stack: Stack) -> None:
        stack.submit("t", status=Status.COMPLETED, version=3, expires_at=clock.now() // 1000 - 1)
        assert stack.store.get("t") is None
        task = stack.submit("t", correlation_id="new")
        assert stack.record("t").status is Status.PENDING
        assert stack.record("t").correlation_id == task.correlation_id


@dataclass(frozen=True)
class Case:
    """A transition of a record: from what, and made by whom. Times are the test's own, in ms from now."""

    before: dict[str, Any]
    make: Callable[[Task, int], Task]


#: A record as a worker holds it.
HELD: dict[str, Any] = {
    "status": Status.PROCESSING,
    "attempts": 1,
    "version": 2,
    "claim_id": "held",
    "lease_until": 2**47,
}
CRASHED = HELD | {"claim_id": "dead", "lease_until": 1}
FAILED = {"status": Status.FAILED, "attempts": 3, "version": 7, "failed_shard": "0", "error_message": "bad"}
DUE = {"status": Status.RETRYING, "attempts": 1, "version": 3, "not_before": 1, "error_message": "bad"}
RESTARTED = {"run": 2, "version": 8, "unsent_shard": "0", "unsent_key": "2026-01-01T00:00:00.000Z#t"}

CASES = {
    "claimed": Case({}, lambda task, now: task.claimed("new", lease_until=now + 1000, now=now)),
    "claimed again": Case(DUE, lambda task, now: task.claimed("new", lease_until=now + 1000, now=now)),
    "claimed after a crash": Case(
        CRASHED, lambda task, now: task.claimed("new", lease_until=now + 1000, now=now)
    ),
    "claimed in a new run": Case(
        RESTARTED, lambda task, now: task.claimed("new", lease_until=now + 1000, now=now)
    ),
    "completed": Case(HELD, lambda task, now: task.completed('{"a":1}', keep=0, now=now)),
    "completed at last": Case(
        HELD | {"error_message": "bad", "history": "[]"},
        lambda task, now: task.completed(None, keep=clock.DAY, now=now),
    ),
    "retrying": Case(HELD, lambda task, now: task.retrying("bad", not_before=now + 1000, now=now)),
    "failed": Case(HELD, lambda task, now: task.failed("bad", keep=clock.DAY, now=now)),
    "given up": Case({}, lambda task, now: task.given_up("bad", keep=0, now=now)),
    "given up after a crash": Case(CRASHED, lambda task, now: task.given_up("bad", keep=0, now=now)),
    "dead-lettered": Case(FAILED, lambda task, now: task.dead_lettered(now)),
    "restarted": Case(FAILED | {"expires_at": 2**40}, lambda task, now: task.restarted(now)),
    "sent again": Case(RESTARTED, lambda task, now: task.sent_again(now)),
}


@pytest.fixture(params=CASES.values(), ids=[*CASES])
def change(request: pytest.FixtureRequest, stack: Stack) -> Change:
    """A change of a record that is in the table."""
    case: Case = request.param
    before = stack.submit("t", **case.before)
    before = stack.record("t")
    return Change(before, case.make(before, clock.now()))


@pytest.mark.batch_statements
class TestAChange:
    def test_makes_the_record_what_it_says(self, stack: Stack, change: Change) -> None:
        assert stack.store.change(*change)
        assert stack.record("t") == change.after
        # To the letter: what the change removes is gone, not only unread.
        assert stack.items() == [to_item(change.after)]

    def test_whose_answer_was_lost_is_known_again(self, stack: Stack, change: Change) -> None:
        assert stack.store.change(*change)
        assert stack.store.change(*change)
        assert stack.record("t") == change.after

    def test_is_refused_when_somebody_wrote_the_record(self, stack: Stack, change: Change) -> None:
        before = change.before
        other = replace(before, version=before.version + 1, status=Status.PROCESSING, claim_id="other")
        assert stack.store.change(before, other)
        assert stack.store.write([change]) == [Outcome(written=False, record=other)]
        assert not stack.store.change(*change)
        assert stack.record("t") == other

    def test_is_refused_to_a_record_that_took_the_place_of_an_expired_one(
        self, stack: Stack, change: Change
    ) -> None:
        """It has come to the same version; all else may be the same too."""
        newer = replace(change.before, created_key="2026-01-01T00:00:00.000Z#t")
        stack.dynamodb.put_item(TableName=stack.table, Item=to_item(newer))
        assert stack.store.write([change]) == [Outcome(written=False, record=newer)]
        assert stack.record("t") == newer

    def test_of_a_record_that_is_gone_makes_none(self, stack: Stack, change: Change) -> None:
        stack.dynamodb.delete_item(TableName=stack.table, Key={"taskId": {"S": "t"}, "part": {"S": "state"}})
        assert stack.store.write([change]) == [Outcome(written=False, record=None)]
        assert stack.items() == []


def claims(stack: Stack, count: int) -> list[Change]:
    """Claims of so many new tasks."""
    now = clock.now()
    stack.submit_many("echo", [f"t{number}" for number in range(count)])
    return [
        Change(task, task.claimed(f"claim of {task.task_id}", lease_until=now + 1000, now=now))
        for task in (stack.record(f"t{number}") for number in range(count))
    ]


class TestManyChanges:
    @pytest.mark.batch_statements
    def test_are_made_in_few_calls_each_by_itself(self, stack: Stack, wire: Wire) -> None:
        changes = claims(stack, 60)
        late = changes[30].before
        other = late.claimed("other", lease_until=1, now=1)
        assert stack.store.change(late, other)
        calls = wire.calls()["BatchExecuteStatement"]
        outcomes = stack.store.write(changes)
        assert wire.calls()["BatchExecuteStatement"] == calls + 3
        expected = [Outcome(written=True, record=change.after) for change in changes]
        expected[30] = Outcome(written=False, record=other)
        assert outcomes == expected
        assert [stack.record(change.before.task_id) for change in changes] == [
            outcome.record for outcome in expected
        ]

    def test_that_are_none_make_no_call(self, stack: Stack, wire: Wire) -> None:
        assert stack.store.write([]) == []
        assert wire.made == []

    @pytest.mark.batch_statements
    @pytest.mark.parametrize(
        ("code", "may_pass"),
        [
            ("ThrottlingError", True),
            ("ProvisionedThroughputExceeded", True),
            ("RequestLimitExceeded", True),
            ("TransactionConflict", True),
            ("InternalServerError", True),
            ("ValidationError", False),
            ("AccessDenied", False),
            ("ResourceNotFound", False),
            ("ItemCollectionSizeLimitExceeded", False),
        ],
    )
    def test_of_which_one_is_refused_are_made_but_for_that_one(
        self, stack: Stack, wire: Wire, code: str, may_pass: bool
    ) -> None:
        changes = claims(stack, 3)
        wire.refuse_part("BatchExecuteStatement", '"t1"', code=code)
        first, refused, last = stack.store.write(changes)
        assert first.written
        assert last.written
        assert (refused.written, refused.record) == (False, None)
        assert isinstance(refused.error, aws.AWS_ERRORS)
        assert aws.may_pass(refused.error) == may_pass
        assert [stack.record(task_id).version for task_id in ("t0", "t1", "t2")] == [2, 1, 2]

    @pytest.mark.batch_statements
    def test_are_sent_one_by_one_when_their_call_is_refused(self, stack: Stack, wire: Wire) -> None:
        changes = claims(stack, 3)
        wire.refuse("BatchExecuteStatement", '"t1"', code="ValidationException", times=2)
        outcomes = stack.store.write(changes)
        assert [outcome.written for outcome in outcomes] == [True, False, True]
        assert outcomes[1].error
        assert not aws.may_pass(outcomes[1].error)

    @pytest.mark.batch_statements
    def test_without_an_answer_may_have_been_made(self, stack: Stack, wire: Wire) -> None:
        changes = claims(stack, 2)
        wire.lose("BatchExecuteStatement", times=3)
        outcomes = stack.store.write(changes)
        assert [(outcome.written, outcome.record) for outcome in outcomes] == [(False, None)] * 2
        assert all(outcome.error and aws.may_pass(outcome.error) for outcome in outcomes)
        wire.cut.add("dynamodb")
        with pytest.raises(BotoCoreError):
            stack.store.change(*changes[0])
        wire.mend()
        assert [outcome.written for outcome in stack.store.write(changes)] == [True, True]


@pytest.mark.batch_statements
def test_finished_tasks_expire_when_retention_is_configured(stack: Stack) -> None:
    store = TaskStore(stack.dynamodb, stack.table, retention=7 * clock.DAY)
    big = replace(stack.submit("small"), task_id="big", updated_at=clock.now())
    store.create(big, LARGE, data_lifetime=17 * clock.DAY)
    (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
    assert int(data["expiresAt"]["N"]) == big.updated_at // 1000 + 24 * 86_400
    now = clock.now()
    done = stack.submit("done", **HELD)
    dead = stack.submit("dead", **HELD)
    assert store.change(done, done.completed(None, keep=7 * clock.DAY, now=now))
    assert store.change(dead, dead.failed("bad", keep=7 * clock.DAY, now=now))
    expiries = [item["expiresAt"] for item in stack.items() if item["taskId"]["S"] in ("done", "dead")]
    assert expiries == [{"N": str(now // 1000 + 7 * 86_400)}] * 2


class TestDataThatExpires:
    """Data in an item of its own, of tasks that are kept for a week."""

    @pytest.fixture
    def store(self, stack: Stack) -> TaskStore:
        return TaskStore(stack.dynamodb, stack.table, retention=7 * clock.DAY)

    @staticmethod
    def expiry(stack: Stack) -> int | None:
        """In days from now; None for never."""
        (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
        if "expiresAt" not in data:
            return None
        return round((int(data["expiresAt"]["N"]) * 1000 - clock.now()) / clock.DAY)

    @pytest.mark.parametrize("delays", [(300, 0), (0, 300), (300, 0, 200)])
    def test_lives_as_long_as_any_submission_of_it_asks(
        self, stack: Stack, store: TaskStore, delays: tuple[int, ...]
    ) -> None:
        task, now = a_task("t", "echo", LARGE.text), clock.now()
        for number, delay in enumerate(delays):
            again = replace(task, correlation_id=str(number)).put_off(now + delay * clock.DAY, now)
            existing = store.create(again, LARGE, data_lifetime=17 * clock.DAY)
            assert (existing is None) == (number == 0)
        assert self.expiry(stack) == 300 + 17 + 7

    def test_that_was_to_live_for_ever_does(self, stack: Stack, store: TaskStore) -> None:
        """It was stored when finished tasks were kept for ever."""
        task = stack.submit("t", payload=LARGE.text)
        assert store.create(replace(task, correlation_id="again"), LARGE, data_lifetime=clock.DAY)
        assert self.expiry(stack) is None

    def test_that_was_to_expire_does_not_when_tasks_are_kept_for_ever(
        self, stack: Stack, store: TaskStore
    ) -> None:
        task = a_task("t", "echo", LARGE.text)
        assert store.create(task, LARGE, data_lifetime=clock.DAY) is None
        assert stack.store.create(replace(task, correlation_id="again"), LARGE, data_lifetime=clock.DAY)
        assert self.expiry(stack) is None

    def test_lives_on_for_a_retry_and_for_the_longer_of_two(
        self, stack: Stack, store: TaskStore, wire: Wire
    ) -> None:
        task, now = a_task("t", "echo", LARGE.text), clock.now()
        assert store.create(task, LARGE, data_lifetime=clock.DAY) is None

        def keep(days: int) -> bool:
            return store.keep_data(task, until=now + days * clock.DAY, at_least=now + (days - 1) * clock.DAY)

        wire.meanwhile("GetItem", "data#", lambda: keep(60))
        assert keep(40)
        assert self.expiry(stack) == 60


def test_a_refused_submission_leaves_data_that_another_one_relies_on(stack: Stack, wire: Wire) -> None:
    """The record that refused it expires, and the same data is submitted again, before it tidies up."""
    taken = stack.submit("t", payload='{"a":1}')
    refused = replace(a_task("t", "echo", LARGE.text), correlation_id="refused")
    accepted = replace(refused, correlation_id="accepted", created_key=created_key("t", clock.now() + 1))

    def act() -> None:
        stack.dynamodb.delete_item(TableName=stack.table, Key=key_of("t", "state"))
        assert stack.store.create(accepted, LARGE, data_lifetime=0) is None

    wire.meanwhile("PutItem", '"state"', act)
    existing = stack.store.create(refused, LARGE, data_lifetime=0)
    assert existing
    assert existing.content_hash == taken.content_hash
    assert stack.store.load_data(stack.record("t")) == LARGE


class TestTheListing:
    @pytest.mark.parametrize("after", ["2026-01-01T00:00:00.000Z#t", "2026-01-01T00:00:00.001Z#"])
    def test_between_places_of_which_the_second_is_not_later_is_empty(self, stack: Stack, after: str) -> None:
        stack.submit("t", created_key="2026-01-01T00:00:00.000Z#t", list_shard="1")
        between = stack.store.entries_between(ListIndex.ALL, 1, after, "2026-01-01T00:00:00.000Z#t", 10)
        assert [*between] == []

    def test_is_newest_first_over_all_shards(self, stack: Stack) -> None:
        tasks = [
            stack.submit(f"t{n}", created_key=f"2026-01-01T00:00:00.{n:03d}Z#t{n}", list_shard=str(n % 3))
            for n in range(30)
        ]
        listed = list(stack.store.entries(ListIndex.ALL, 3, None, 4))
        assert [entry.task_id for entry in listed] == [task.task_id for task in reversed(tasks)]
        below = stack.store.entries(ListIndex.ALL, 3, tasks[10].created_key, 4)
        assert [entry.task_id for entry in below] == [f"t{n}" for n in range(9, -1, -1)]

    @pytest.mark.batch_statements
    def test_of_failed_tasks_holds_only_those(self, stack: Stack) -> None:
        stack.submit("fine")
        bad = stack.submit("bad")
        assert stack.store.change(bad, bad.given_up("bad", keep=0, now=clock.now()))
        assert [entry.task_id for entry in stack.store.entries(ListIndex.FAILED, 1, None, 10)] == ["bad"]

    def test_reads_many_records_in_the_order_asked(self, stack: Stack) -> None:
        for n in range(120):
            stack.submit(f"t{n}")
        ids = [f"t{n}" for n in range(119, -1, -1)]
        assert [task.task_id for task in stack.store.get_many([*ids, "nobody"], consistent=True).tasks] == ids

    def test_asks_again_for_records_that_dynamodb_has_left_out(self, stack: Stack, wire: Wire) -> None:
        ids = stack.submit_many("echo", [f"t{n}" for n in range(5)])
        wire.postpone('"t1"', times=2)
        wire.postpone('"t3"')
        assert [task.task_id for task in stack.store.get_many(ids, consistent=True).tasks] == ids
        assert wire.calls()["BatchGetItem"] == 3
