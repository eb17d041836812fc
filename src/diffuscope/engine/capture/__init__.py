"""Taps on the attention call; what to keep; hands tensors to the writer."""
