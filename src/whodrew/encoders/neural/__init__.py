"""Encoders that are neural networks, through torch: nothing here is imported until asked for."""
