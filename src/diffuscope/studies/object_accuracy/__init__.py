"""How well chains find objects, against true masks: `diffuscope evaluate objects`."""
