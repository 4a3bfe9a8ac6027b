"""The streams of tables, as AWS feeds and reads them.

Writes by PartiQL reach them too; ministack 1.5.33 emits records for all other writes only. And they are read by a
thread of their own, four times a second, as Lambda reads them; ministack's one thread for all event sources waits for a
stream's function while it could hand out messages of queues.
"""
# pyright: basic, reportMissingImports=false

import threading
import time

from ministack.services import dynamodb, lambda_svc

_insert, _update, _delete = dynamodb._partiql_insert, dynamodb._partiql_update, dynamodb._partiql_delete
_DONE = 200


def _stored(table, pk, sk):
    return table["items"].get(pk, {}).get(sk)


def _streamed_insert(table, parsed):
    answer = _insert(table, parsed)
    if answer[0] == _DONE:
        item = parsed["item"]
        item = item["M"] if set(item) == {"M"} else item
        dynamodb._emit_stream_event(table["TableName"], "INSERT", None, item)
    return answer


def _streamed_update(table, parsed, data=None):
    pk, sk, _, error = dynamodb._partiql_key_target(table, parsed)
    before = None if error else _stored(table, pk, sk)
    answer = _update(table, parsed, data)
    if answer[0] == _DONE:
        dynamodb._emit_stream_event(table["TableName"], "MODIFY", before, _stored(table, pk, sk))
    return answer


def _streamed_delete(table, parsed, data=None):
    pk, sk, _, error = dynamodb._partiql_key_target(table, parsed)
    before = None if error else _stored(table, pk, sk)
    answer = _delete(table, parsed, data)
    if answer[0] == _DONE and before is not None:
        dynamodb._emit_stream_event(table["TableName"], "REMOVE", before, None)
    return answer


dynamodb._partiql_insert = _streamed_insert
dynamodb._partiql_update = _streamed_update
dynamodb._partiql_delete = _streamed_delete


_POLL_SECONDS = 0.25
#: Lambda's own batch size for streams: after a full one, more is waiting, and is read at once.
_FULL_BATCH = 100
_read_streams, _emit = lambda_svc._poll_dynamodb_streams, dynamodb._emit_stream_event
_changed = threading.Event()
_start_reader = threading.Lock()


def _emit_and_wake(*arguments, **named):
    _emit(*arguments, **named)
    _changed.set()


def _position():
    return sum(lambda_svc._dynamodb_stream_positions.values())


def _follow_streams():
    while True:
        # Now and then without a change as well: a batch that failed is tried again.
        _changed.wait(1)
        _changed.clear()
        begun = time.monotonic()
        try:
            full = True
            while full:
                before = _position()
                _read_streams()
                full = _position() - before >= _FULL_BATCH
        except Exception as error:  # noqa: BLE001 - it goes on with the next poll
            lambda_svc.logger.error("stream reader: %s", error)
        time.sleep(max(0, begun + _POLL_SECONDS - time.monotonic()))


def _leave_to_reader():
    """In place of what the thread for all event sources does about streams."""
    if _start_reader.acquire(blocking=False):
        threading.Thread(target=_follow_streams, name="stream-reader", daemon=True).start()
    return False


dynamodb._emit_stream_event = _emit_and_wake
lambda_svc._poll_dynamodb_streams = _leave_to_reader
