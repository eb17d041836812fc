"""Figures of recorded runs: reports, contact sheets, animations. Data in, picture out, no torch."""
