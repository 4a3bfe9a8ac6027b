"""The emulator's application, with what ministack 1.5.33 leaves out and the functions rely on, a module for each.

The emulator's own Python loads this file by its path, so nothing here knows of this project.
"""
# pyright: basic, reportMissingImports=false

import ministack_frames
import ministack_logs
import ministack_metrics
import ministack_roles
import ministack_streams
import ministack_updates
from ministack.app import AUTH
from ministack.app import app as _app

__all__ = [
    "app",
    "ministack_frames",
    "ministack_logs",
    "ministack_metrics",
    "ministack_streams",
    "ministack_updates",
]

app = ministack_roles.enforce(_app) if AUTH else _app
