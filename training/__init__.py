"""Makes the weights of the drawn world's model from nothing. `python -m training` runs every stage."""
