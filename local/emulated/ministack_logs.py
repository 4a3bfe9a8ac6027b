"""Following a log costs no more the longer the emulator runs."""
# pyright: basic, reportMissingImports=false

from ministack.services import cloudwatch_logs

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
