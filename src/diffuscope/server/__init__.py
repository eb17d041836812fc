"""The HTTP server: recordings as files to read, questions to ask, and jobs for what takes a model.

    settings -> app -> routes -> resources (what can be read) -> Run
                          |
                          +----> queue -> a worker process of its own, which alone loads models

What can be read has one path in the server and in a static export (`export_site`); both come from `resources`. torch is
imported in the worker process only.
"""
