"""`python -m client`: see `client.cli`."""

import sys

if __name__ == "__main__":
    try:
        from client.cli import app
    except KeyboardInterrupt:  # Ctrl-C while the libraries load
        sys.exit(130)
    app(prog_name="python -m client")
