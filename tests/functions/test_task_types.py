"""What a task type states about itself, and what its function gets and may ask for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import task_types
from tasklib import execution
from tasklib.payload import FieldError, Limits
from tasklib.task_type import (
    REGISTRY,
    Attempt,
    PermanentError,
    RetryLaterError,
    TaskType,
    load_all,
    task_type,
)

load_all(task_types)

ATTEMPT = Attempt("t", 1, 1, "c")


@dataclass(frozen=True)
class Picture:
    width: Annotated[int, Limits(1, 20)]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Types that a test registers are gone after it."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def run(name: str, data: Any, **job: Any) -> dict[str, Any]:
    """An attempt of a registered type, as a task process runs it."""
    kind = "answer" if isinstance(data, str) else "payload"
    text = data if isinstance(data, str) else json.dumps(data)
    fields = {"taskId": "t", "run": 1, "attempt": 1, "correlationId": "c", "createdAt": ""}
    fields |= {"kind": kind, "data": text}
    return execution.run(fields | job, REGISTRY[name].function)


class TestATypeWithAPayload:
    def test_gets_an_instance(self) -> None:
        @task_type("typed", payload=Picture)
        def typed(picture: Picture, attempt: Attempt) -> int:
            assert isinstance(picture, Picture)
            return picture.width

        assert typed(Picture(3), ATTEMPT) == 3
        assert run("typed", {"width": 7})["result"] == "7"

    def test_fails_for_good_on_what_slipped_through(self) -> None:
        @task_type("typed", payload=Picture)
        def typed(picture: Picture, attempt: Attempt) -> None:
            raise AssertionError

        answer = run("typed", {"width": 99, "height": 1})
        assert answer["permanent"]
        assert answer["error"] == (
            "PermanentError: payload has a field that it must not have; "
            "payload.width is a number; it must be a whole number from 1 to 20"
        )

    def test_takes_no_answer(self) -> None:
        @task_type("typed", payload=Picture)
        def typed(picture: Picture, attempt: Attempt) -> None:
            raise AssertionError

        problem = FieldError("answer", "is nothing for a task of type typed; send a payload of width")
        assert REGISTRY["typed"].parse("42") == (None, [problem])
        assert run("typed", "42")["permanent"]

    def test_takes_an_answer_if_it_says_so(self) -> None:
        @task_type("typed", payload=Picture, takes_answer=True)
        def typed(data: Picture | str, attempt: Attempt) -> str:
            return data if isinstance(data, str) else str(data.width)

        assert run("typed", "42")["result"] == '"42"'
        assert run("typed", {"width": 4})["result"] == '"4"'

    def test_must_state_a_dataclass(self) -> None:
        with pytest.raises(TypeError):
            task_type("typed", payload=dict)


class TestATypeWithoutAPayload:
    def test_gets_what_came(self) -> None:
        @task_type("untyped")
        def untyped(data: Any, attempt: Attempt) -> Any:
            return data

        assert run("untyped", "42")["result"] == '"42"'
        assert run("untyped", {"any": [1]})["result"] == '{"any":[1]}'
        assert REGISTRY["untyped"].payload is None
        assert REGISTRY["untyped"].parse({"any": 1}) == ({"any": 1}, [])


class TestAnAttempt:
    def test_has_the_secrets_of_its_job(self) -> None:
        @task_type("secretive")
        def secretive(data: Any, attempt: Attempt) -> Any:
            return dict(attempt.secrets)

        assert run("secretive", {}, secrets={"key": "s3"})["result"] == '{"key":"s3"}'
        assert run("secretive", {})["result"] == "{}"

    def test_does_not_show_them(self) -> None:
        attempt = Attempt("t", 1, 2, "c", {"key": "s3cret"})
        assert f"{attempt} {attempt!r}" == "Attempt('t', run=1, number=2) Attempt('t', run=1, number=2)"

    @pytest.mark.parametrize(
        ("asked", "delay"),
        [(30, 30.0), (0.5, 0.5), (-3, 0.0), (float("nan"), 0.0), (float("inf"), 31_622_400.0)],
    )
    def test_may_ask_for_a_delay(self, asked: float, delay: float) -> None:
        @task_type("patient")
        def patient(data: Any, attempt: Attempt) -> None:
            raise RetryLaterError("not now", asked)

        answer = run("patient", {})
        assert answer["delay_seconds"] == delay
        assert answer["error"] == "RetryLaterError: not now"
        assert not answer["permanent"]
        assert json.loads(json.dumps(answer)) == answer

    def test_that_fails_otherwise_asks_for_none(self) -> None:
        @task_type("failing-thus")
        def failing(data: Any, attempt: Attempt) -> None:
            raise PermanentError("never")

        assert "delay_seconds" not in run("failing-thus", {})


class TestATypesStatements:
    def test_are_kept(self) -> None:
        @task_type(
            "stating",
            max_retries=5,
            backoff_max_seconds=60,
            time_limit_seconds=9,
            secrets={"key": "KEY_PARAMETER"},
            packages=["markdown==3.10 --hash=sha256:00"],
            grants={"s3:GetObject": ["arn:{partition}:s3:::cats/*"]},
        )
        def stating(data: Any, attempt: Attempt) -> None: ...

        assert REGISTRY["stating"] == TaskType(
            "stating",
            stating,
            {"max_retries": 5, "backoff_max_seconds": 60},
            9,
            secrets={"key": "KEY_PARAMETER"},
            packages=["markdown==3.10 --hash=sha256:00"],
            grants={"s3:GetObject": ["arn:{partition}:s3:::cats/*"]},
        )

    def test_belong_to_one_function_only(self) -> None:
        def twice(data: Any, attempt: Attempt) -> None: ...

        task_type("stating")(twice)
        with pytest.raises(ValueError, match="registered twice"):
            task_type("stating")(twice)


class TestInvoice:
    def test_is_added_up(self) -> None:
        lines = [{"text": "Pen", "priceCents": 199, "quantity": 3}, {"text": "Ink", "priceCents": 1250}]
        assert json.loads(run("invoice", {"lines": lines})["result"]) == {
            "netCents": 1847,
            "taxCents": 351,
            "totalCents": 2198,
            "currency": "EUR",
        }

    def test_rounds_half_a_cent_up(self) -> None:
        payload = {"lines": [{"text": "Gum", "priceCents": 10}], "taxPercent": 5, "currency": "USD"}
        assert json.loads(run("invoice", payload)["result"])["taxCents"] == 1

    def test_needs_lines(self) -> None:
        _, problems = REGISTRY["invoice"].parse({"lines": [{"text": "", "priceCents": -1}], "vat": 7})
        assert [problem.field for problem in problems] == [
            "payload.vat",
            "payload.lines[0].text",
            "payload.lines[0].priceCents",
        ]
