"""A WebSocket frame that nests too deep takes the default route; ministack 1.5.33 ends its connection."""
# pyright: basic, reportMissingImports=false

from ministack.services import apigateway

_evaluate = apigateway._evaluate_route_selection


def _evaluate_or_default(expr, payload_text):
    try:
        return _evaluate(expr, payload_text)
    except RecursionError:
        return "$default"


apigateway._evaluate_route_selection = _evaluate_or_default
