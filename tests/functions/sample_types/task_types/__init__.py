"""Task types that misbehave in every way that matters, for the tests of the worker."""
