"""The whole system on this machine: the Pulumi program of this project, created in an AWS emulator.

`python -m local up` evaluates the program through the Pulumi SDK, creates what it declares in ministack and follows
the functions' logs until it is told to stop. docs/local-stack.md says what such a run proves and what it does not.
"""
