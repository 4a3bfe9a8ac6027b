"""What goes wrong in metering."""


class MeterError(Exception):
    """The meter met something that it cannot price; the text says what. Its counts would be too low."""
