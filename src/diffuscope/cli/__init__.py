"""The command line. One file for each command; `app` puts them together, `main` is the console script."""

from diffuscope.cli.app import app, main

__all__ = ["app", "main"]
