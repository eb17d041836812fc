"""Objects of a picture: where they are, and how well maps find them."""
