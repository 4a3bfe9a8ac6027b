"""The emulator's application, with what ministack 1.5.33 leaves out and the functions rely on.

Writes by PartiQL reach the table's stream here, as they do on AWS; ministack emits stream records for all other writes
only. The emulator's own Python loads this file by its path, so it knows nothing of this project.
"""
# pyright: basic, reportMissingImports=false

from ministack.app import app
from ministack.services import dynamodb

__all__ = ["app"]

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
