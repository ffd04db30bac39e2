"""The detector on several machines, with Ray."""
