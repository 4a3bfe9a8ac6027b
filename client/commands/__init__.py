"""The commands: options in, calls of the modules of `client`, what people and scripts see out."""
