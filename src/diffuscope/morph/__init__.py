"""How a picture comes to be, as something to watch: a run as a field of particles, filmed or handed on as points."""
