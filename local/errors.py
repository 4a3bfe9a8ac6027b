"""What a person is told, in one clear message, when the local stack cannot do what it was asked to do."""


class LocalError(Exception):
    """A mistake or a limit that the person at the terminal can act on; its text is all that is shown."""


class ConfigError(LocalError):
    """A configuration key or value that the program does not take."""


class UnsupportedError(LocalError):
    """A resource, property or function of the program that a local run cannot honour."""
