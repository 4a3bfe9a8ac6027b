"""Imports the modules of functions from an unpacked package, as the emulator's Python will.

    import_handlers.py FOLDER MODULE...

Prints JSON: null, or what is wrong as {"frames": [[path in the folder, line], ...], "text": ...}.
"""
# pyright: basic

import importlib
import json
import os
import sys
import traceback
from pathlib import Path


def _problem(folder, modules):
    try:
        for module in modules:
            importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - sys.exit at import is a mistake as well
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError):
            places.append((error.filename or "", error.lineno or 0))
            text = f"not valid Python: {error.msg}"
        frames = [
            (str(Path(file).relative_to(folder)), line)
            for file, line in places
            if Path(file).is_relative_to(folder)
        ]
        return {"frames": frames, "text": " ".join(text.split())}
    return None


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the modules print is not for the answer
    folder = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(folder))
    out.write(json.dumps(_problem(folder, sys.argv[2:])))
    out.flush()
    os._exit(0)  # threads that the modules started are not waited for
