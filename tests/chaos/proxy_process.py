"""microburst on a socket that is opened elsewhere, with its dice seeded: `proxy_process.py FD UPSTREAM SEED`."""

import random
import socket
import sys

from aiohttp import web
from microburst.app import make_app  # pyright: ignore[reportMissingTypeStubs]
from microburst.core.pipeline import Microburst  # pyright: ignore[reportMissingTypeStubs]

if __name__ == "__main__":
    descriptor, upstream, seed = sys.argv[1:]
    random.seed(int(seed))
    app = make_app(Microburst(upstream))
    web.run_app(app, sock=socket.socket(fileno=int(descriptor)), print=None, access_log=None)
