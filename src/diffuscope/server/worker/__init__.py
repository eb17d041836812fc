"""The worker: the process of the server that has models. `loop.main` is what it runs."""
