"""How well maps find objects, for every way of making them: `diffuscope evaluate maps`."""
