"""The emulator's application, with what ministack 1.5.33 leaves out and the functions rely on.

Writes by PartiQL reach the table's stream here, as they do on AWS; ministack emits stream records for all other writes
only. And streams are read by a thread of their own, four times a second, as Lambda reads them; ministack's one thread
for all event sources waits for a stream's function while it could hand out messages of queues. And following a log
costs no more the longer the emulator runs. And calls that run when a function gets new code end in the old one, as on
AWS; ministack kills them.

The emulator's own Python loads this file by its path, so it knows nothing of this project.
"""
# pyright: basic, reportMissingImports=false

import threading
import time

import ministack_roles
from ministack.app import AUTH
from ministack.app import app as _app
from ministack.core import lambda_runtime
from ministack.services import cloudwatch_logs, dynamodb, lambda_svc

app = ministack_roles.enforce(_app) if AUTH else _app

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


_filter_log_events = cloudwatch_logs._filter_log_events


def _filter_recent_log_events(data):
    """Without the streams that ended before the time asked for: ministack makes one for each invocation of a function
    and searches them all."""
    group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
    since = data.get("startTime")
    if group is not None and since is not None and not data.get("logStreamNames"):
        recent = [
            name
            for name, stream in list(group["streams"].items())
            if (stream["lastEventTimestamp"] or 0) >= since
        ]
        # An empty list of names means all of them.
        data = {**data, "logStreamNames": recent or [""]}
    return _filter_log_events(data)


cloudwatch_logs._filter_log_events = _filter_recent_log_events


_update_code, _invalidate = lambda_svc._update_code, lambda_svc.invalidate_worker
_release = lambda_svc.release_worker
_updating = threading.local()
_retired = set()


def _update_code_of_idle(name, data):
    _updating.now = True
    try:
        return _update_code(name, data)
    finally:
        _updating.now = False


def _invalidate_or_retire(func_name, qualifier=None, account=None, region=None):
    """During an update, the processes that are busy leave the pool and live until their call has ended."""
    if getattr(_updating, "now", False):
        with lambda_runtime._lock:
            pool = lambda_runtime._workers.get(f"{account}:{region}:{func_name}:{qualifier}", [])
            _retired.update(worker for worker in pool if worker.in_use)
            pool[:] = [worker for worker in pool if not worker.in_use]
    _invalidate(func_name, qualifier=qualifier, account=account, region=region)


def _release_or_kill(worker):
    _release(worker)
    if worker in _retired:
        _retired.discard(worker)
        # The caller's answer does not wait for the end of the process.
        threading.Thread(target=lambda_runtime.kill_workers, args=([worker],), daemon=True).start()


lambda_svc._update_code = _update_code_of_idle
lambda_svc.invalidate_worker = _invalidate_or_retire
lambda_svc.release_worker = _release_or_kill
