"""How long a person waits for the first result: from the command to the first completed task."""

import json
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from benchmarks.http_load import post_all
from benchmarks.stack import NO_WORK, Stack


def seconds(stack: Stack) -> float:
    """Seconds from the start of a stack that nobody has used yet to the end of its first task, seen by polling."""
    reply = post_all(f"{stack.url}/tasks", [{"payload": NO_WORK}], 1)[0]
    path = f"/tasks/{json.loads(reply.body)['taskId']}"
    address = urlsplit(stack.url)
    while True:
        connection = HTTPConnection("127.0.0.1", address.port, timeout=60)
        connection.request("GET", path, headers={"host": address.netloc})
        task = json.loads(connection.getresponse().read())
        connection.close()
        if task["status"] == "COMPLETED":
            return time.monotonic() - stack.started
        time.sleep(0.05)
