"""Calls that run when a function gets new code end in the old one, as on AWS; ministack 1.5.33 kills them."""
# pyright: basic, reportMissingImports=false

import threading

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

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
