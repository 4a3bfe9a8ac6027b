"""The list over HTTP, with a thousand tasks in it and more arriving."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tasklib import clock
from tasklib.store import TaskStore
from tasklib.task import Status, Task, TaskData, created_key

from .conftest import LocalStack

pytestmark = pytest.mark.xdist_group("reliable")


@pytest.mark.long
def test_a_thousand_tasks_page_newest_first_while_new_ones_arrive(reliable: LocalStack) -> None:
    store = TaskStore(reliable.dynamodb, reliable.table)
    data = TaskData("answer", "x")
    sample = Task(
        task_id="",
        type="simulate",
        status=Status.COMPLETED,
        run=1,
        attempts=1,
        version=3,
        created_key="",
        list_shard="0",
        updated_at=clock.now(),
        content_hash=data.content_hash("simulate"),
        correlation_id="c",
    )

    first = clock.now() - 100_000

    def store_one(number: int) -> str:
        task_id = f"listed-{number:04d}"
        # Four a millisecond, so that the order has ties to break.
        place = created_key(task_id, first + number // 4)
        assert (
            store.create(replace(sample, task_id=task_id, created_key=place), data, data_lifetime=0) is None
        )
        return task_id

    with ThreadPoolExecutor(8) as writers:
        stored = list(writers.map(store_one, range(1000)))

    seen: list[str] = []
    cursor: dict[str, str] = {}
    for number in range(100):
        page = reliable.http.get("/tasks", params={"limit": "60"} | cursor).json()
        seen += [task["taskId"] for task in page["tasks"]]
        assert page["tasks"] == sorted(
            page["tasks"], key=lambda task: (task["createdAt"], task["taskId"]), reverse=True
        )
        if "nextCursor" not in page:
            break
        cursor["cursor"] = page["nextCursor"]
        reliable.submit(f"arriving-{number}")
    assert [task_id for task_id in seen if task_id.startswith("listed-")] == stored[::-1]
    assert len(set(seen)) == len(seen)
