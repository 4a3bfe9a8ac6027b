"""Roles as AWS checks them, and what each was allowed and refused: what ministack 1.5.33 leaves out with AUTH=true.

PartiQL statements are authorised one by one, each by the action and the table that it names, and a batch of messages by
the action for one; ministack asks for permission to `BatchExecuteStatement` and `SendMessageBatch`, which no policy of
AWS knows.
"""
# pyright: basic, reportMissingImports=false

import json
import re
from collections import defaultdict

from ministack.core import iam_actions, iam_evaluator

#: What each role was allowed and what it was refused, by where the emulator says so, as JSON:
#: {ARN of the role's session: [[action, resource], ...]}.
_allowed, _refused = defaultdict(set), defaultdict(set)
_NOTES = {"/_local/allowed": _allowed, "/_local/refused": _refused}

_STATEMENT = re.compile(
    r'\s*(?:(INSERT)\s+INTO|(UPDATE)|(DELETE)\s+FROM|(SELECT)\s.*?\sFROM)\s+"?([\w.-]+)"?',
    re.IGNORECASE | re.DOTALL,
)
_STATEMENTS = {"dynamodb:BatchExecuteStatement", "dynamodb:ExecuteStatement"}

_MESSAGE_BATCHES = {"sqs:SendMessageBatch", "sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch"}

_action, _checks, _evaluate = (
    iam_actions.extract_iam_action,
    iam_actions.dynamodb_transaction_checks,
    iam_evaluator.evaluate,
)


def _action_of_one(*request):
    action = _action(*request)
    return action.removesuffix("Batch") if action in _MESSAGE_BATCHES else action


def _checks_of_each_statement(iam_action, body, region, account_id):
    if iam_action not in _STATEMENTS:
        return _checks(iam_action, body, region, account_id)
    request = json.loads(body)
    checks = []
    for statement in request.get("Statements", [request]):
        match = _STATEMENT.match(statement.get("Statement", ""))
        if match is None:
            return []  # to be refused under the call's own name
        *verbs, table = match.groups()
        verb = next(verb for verb in verbs if verb).capitalize()
        checks.append((f"dynamodb:PartiQL{verb}", f"arn:aws:dynamodb:{region}:{account_id}:table/{table}"))
    return checks


def _evaluate_and_note(context, *policies):
    result = _evaluate(context, *policies)
    notes = _allowed if result.decision == "Allow" else _refused
    notes[context.principal_arn].add((context.action, context.resource_arn))
    return result


def enforce(app):
    """The application with both, and with what it noted of the roles."""
    iam_actions.extract_iam_action = _action_of_one
    iam_actions.dynamodb_transaction_checks = _checks_of_each_statement
    iam_evaluator.evaluate = _evaluate_and_note

    async def with_notes(scope, receive, send):
        if scope["type"] != "http" or scope["path"] not in _NOTES:
            await app(scope, receive, send)
            return
        body = json.dumps({role: sorted(calls) for role, calls in _NOTES[scope["path"]].items()}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return with_notes
