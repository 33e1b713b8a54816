"""The measure room: pure functions from answers to figures with intervals."""
