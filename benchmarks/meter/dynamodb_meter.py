"""Meters DynamoDB calls as they pass: learns what the call does not say from the endpoint itself.

Every item that a call writes is read before and after it, under a lock of its own, so that update expressions need
no interpretation. The meter's own calls are not counted. Writes that take another way to the endpoint, a TTL among
them, may fall between the two readings of an item and are then taken for the call's.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from benchmarks.meter.dynamodb import Table, range_units, read_units, refused_write_units
from benchmarks.meter.dynamodb_calls import (
    RESHAPES,
    Answer,
    Json,
    Outcome,
    Range,
    Write,
    identity,
    lookups_of,
    outcomes_of,
    range_of,
    table_names,
    writes_of,
)
from benchmarks.meter.errors import MeterError
from benchmarks.meter.item_size import Item

#: Calls an operation of DynamoDB for the meter itself.
Ask = Callable[[str, Json], Awaitable[Answer]]

#: Keys of one BatchGetItem call, at most.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Units:
    """What a call costs: write units, read units; and how many items or index entries it read."""

    write: float = 0
    read: float = 0
    items_read: int = 0


class DynamoDbMeter:
    """The meter of one endpoint; all of its work is done on one event loop."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def measure(self, operation: str, request: Json, ask: Ask) -> AsyncGenerator["Measurement"]:
        """Around a call: what it finds is seen on entering; its answer is given to the measurement inside.

        Nobody else writes the call's items through this meter until the context is left.
        """
        tables = {name: await self._table(name, ask) for name in table_names(operation, request)}
        writes = writes_of(operation, request, tables)
        async with self._locked(writes):
            before = await _read(((write.table, write.key) for write in writes), ask)
            yield Measurement(operation, request, ask, tables, writes, before)
        if operation in RESHAPES:
            self._tables.clear()

    async def _table(self, name: str, ask: Ask) -> Table:
        if name not in self._tables:
            answer = await ask("DescribeTable", {"TableName": name})
            if answer.error is not None:
                raise MeterError(f"table {name}: {answer.error}")
            self._tables[name] = Table.of(answer.body["Table"])
        return self._tables[name]

    @asynccontextmanager
    async def _locked(self, writes: Iterable[Write]) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            # One order for everybody: two calls never wait for each other.
            for name in sorted({identity(write.table, write.key) for write in writes}):
                await stack.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield


@dataclass(frozen=True, slots=True)
class Measurement:
    """One call between its request and its answer."""

    _operation: str
    _request: Json
    _ask: Ask
    _tables: Mapping[str, Table]
    _writes: Sequence[Write]
    _before: Mapping[str, Item]

    async def units(self, answer: Answer) -> Units:
        """What the call cost, given its answer. Raises MeterError."""
        write = await self._write_units(answer)
        found = range_of(self._operation, self._request, answer)
        if found is not None:
            return await self._range_units(found)
        read, items = await self._lookup_units(answer)
        return Units(write, read, items)

    async def _write_units(self, answer: Answer) -> float:
        outcomes = outcomes_of(self._operation, answer, self._writes, self._tables)
        judged = list(zip(self._writes, outcomes, strict=True))
        done = [(write.table, write.key) for write, outcome in judged if outcome is Outcome.DONE]
        after = await _read(done, self._ask)
        units = 0
        for write, outcome in judged:
            name = identity(write.table, write.key)
            old = self._before.get(name, {})
            if outcome is Outcome.DONE:
                new = after.get(name, {})
                units += write.factor * self._tables[write.table].write_units(old, new)
            elif outcome is Outcome.REFUSED:
                units += write.factor * refused_write_units(old, write.put)
        return units

    async def _lookup_units(self, answer: Answer) -> tuple[float, int]:
        lookups = list(lookups_of(self._operation, self._request, answer, self._tables))
        hidden = await _read(((each.table, each.key) for each in lookups if each.item is None), self._ask)
        units, found = 0.0, 0
        for each in lookups:
            item = hidden.get(identity(each.table, each.key), {}) if each.item is None else each.item
            units += each.factor * read_units(item, consistent=each.consistent)
            found += bool(item)
        return units, found

    async def _range_units(self, found: Range) -> Units:
        items = await self._everything(found) if found.items is None else found.items
        return Units(read=range_units(items, consistent=found.consistent), items_read=len(items))

    async def _everything(self, found: Range) -> Sequence[Item]:
        whole = await self._ask(self._operation, found.whole)
        if whole.error is not None:
            raise MeterError(f"{self._operation} of everything: {whole.error} {whole.body}")
        return whole.body["Items"]


async def _read(keys: Iterable[tuple[str, Item]], ask: Ask) -> dict[str, Item]:
    """Items as they are now, by their identity; those that do not exist are left out."""
    wanted = {identity(table, key): (table, key) for table, key in keys}
    found: dict[str, Item] = {}
    names = list(wanted)
    for start in range(0, len(names), _BATCH):
        request: dict[str, Any] = {}
        for name in names[start : start + _BATCH]:
            table, key = wanted[name]
            request.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
        answer = await ask("BatchGetItem", {"RequestItems": request})
        if answer.error is not None or answer.body.get("UnprocessedKeys"):
            raise MeterError(f"reading items: {answer.error} {answer.body}")
        for table, items in answer.body["Responses"].items():
            key_names = request[table]["Keys"][0]
            found |= {identity(table, {name: item[name] for name in key_names}): item for item in items}
    return found
