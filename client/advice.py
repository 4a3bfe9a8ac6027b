"""What went wrong and what a person can do about it, in one line."""

from __future__ import annotations

from client.errors import BadAnswerError, NoAnswerError, StatusError, TasksError, excerpt

API_URL = "the stack's output apiUrl"

UNREACHED = {
    "connection refused": "nothing listens there. Is the stack up (locally: make local), is the port right?",
    "connection failed": "check the URL and the network.",
    "name not found": f"the host name is not known. Check it against {API_URL}.",
    "tls": "no secure connection could be made. Check https against http, and the certificate.",
    "timeout": "the host or something before it keeps silent. Check the URL and the network, then try again.",
    "reset": "is it an HTTP server? Check http against https, and the port.",
}


STAYS = "Try again; if it stays so, look at the stack's WebSocket API and the logs of its function."


def explain(error: TasksError, url: str) -> str:
    """One line on why a run against `url` was given up."""
    match error:
        case NoAnswerError():
            return f"could not reach {error.live_url or url} ({error.kind}: {error}): {UNREACHED[error.kind]}"
        case TasksError(live_url=str(live_url)):
            return (
                f"{live_url}, where {url} sends for live updates, answered {str(error).rstrip('.')}. {STAYS}"
            )
        case BadAnswerError():
            return f"{url} answered {error}: this is another service. Use {API_URL}, stage path included."
        case StatusError():
            return f"{url} answered {str(error).rstrip('.')}. {_on_status(error)}"
        case _:
            return str(error)


def _on_status(error: StatusError) -> str:
    if error.location and 300 <= error.status < 400:
        return f"It sends callers to {excerpt(error.location)}: use the URL that this begins with."
    if error.status in (404, 405):
        return f"No such path or task is there: use {API_URL}, stage path included, without /tasks."
    if error.status == 401:
        return "The API takes calls with a valid token only: put one into TASKS_TOKEN; it may have expired."
    if error.status == 403:
        who = "The API" if error.from_api else "Something before the API"
        return f"{who} refuses the call. Check the URL ({API_URL}) and your access (TASKS_TOKEN)."
    if error.from_api and error.status < 500:
        return "The API does not take this request: correct what it names."
    if error.status == 429:
        return "The API is throttled: try again later, or raise apiThrottleRate and apiThrottleBurst."
    if error.status >= 500:
        found = f" under correlation id {excerpt(error.correlation_id)}" if error.correlation_id else ""
        return f"The fault is on the other side: its logs have the cause{found}."
    return f"Check the URL: it should be {API_URL}."
