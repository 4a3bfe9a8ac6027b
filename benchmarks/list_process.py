"""Reads two pages of the list as read-tasks does: `python list_process.py TABLE PLACE`. Prints the seconds they took.

With a client of its own: at 100,000 tasks the emulator answers later than the functions' clients wait.
"""

import json
import sys
import time

import boto3
from botocore.config import Config
from tasklib.listing import list_page
from tasklib.store import TaskStore

store = TaskStore(boto3.client("dynamodb", config=Config(read_timeout=120)), sys.argv[1])
begin = time.perf_counter()
pages = [
    list_page(store, shards=1, status=None, limit=20, place=place).tasks for place in (None, sys.argv[2])
]
seconds = time.perf_counter() - begin
if [len(page) for page in pages] != [20, 20]:
    raise SystemExit(f"not two full pages: {pages}")
json.dump({"seconds": seconds}, sys.stdout)
