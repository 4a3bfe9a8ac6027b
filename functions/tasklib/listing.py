"""The list of tasks, newest first, a page at a time.

A cursor is a place in the listing, the creation time and ID of the last task seen, so new tasks, which come in
front of it, shift nothing. A page costs the same however many tasks are stored.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from tasklib.store import ListIndex, TaskStore
from tasklib.task import Status, Task, place_time

#: Tasks of a page: the most that a client may ask for, and how many it gets when it does not ask.
MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20

#: Entries that one page may read while it looks for tasks of a status that has no index.
MAX_ENTRIES: Final = 1000

#: Entries read at a time while it does, or after a chunk of expired tasks.
_STRIDE: Final = 100


class Page(NamedTuple):
    """Some tasks, and the cursor to go on from; None when there are no more."""

    tasks: Sequence[Task]
    next_cursor: str | None


def list_page(store: TaskStore, *, shards: int, status: Status | None, limit: int, place: str | None) -> Page:
    """Up to `limit` tasks older than `place` (None: from the newest), of one status or of any.

    A page of a status other than FAILED ends early, with a cursor, when it has read 1,000 entries.
    """
    index = ListIndex.FAILED if status is Status.FAILED else ListIndex.ALL
    stride = limit if status in (None, Status.FAILED) else _STRIDE
    # One entry more than is shown tells whether there are more, without another query.
    entries = store.entries(index, shards, place, stride + 1)
    found: list[Task] = []
    read = 0
    while read < MAX_ENTRIES and (chunk := list(islice(entries, stride))):
        read += len(chunk)
        stride = _STRIDE  # a first chunk that was not enough held tasks of no interest, or expired ones
        # One that is damaged is no place to go on from; it is reported when its record is read.
        place = next((entry.place for entry in reversed(chunk) if not entry.is_damaged), place)
        # Consistent, or a task that the index already lists could be missing from its page.
        for task in store.get_many([entry.task_id for entry in chunk], consistent=True).tasks:
            if status in (None, task.status):
                found.append(task)
                if len(found) == limit:
                    is_last = task.created_key == place and next(entries, None) is None
                    return Page(found, None if is_last else encode_cursor(task.created_key))
    more = place is not None and next(entries, None) is not None
    return Page(found, encode_cursor(place) if more and place else None)


def encode_cursor(place: str) -> str:
    """A place as clients carry it."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str | None:
    """The place that a cursor stands for; None when it is none of ours."""
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    # A place without a task ID is none of an entry.
    return None if place_time(place) is None or place.endswith("#") else place
