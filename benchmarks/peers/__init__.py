"""What a user would put the same model behind instead; each runs in a virtual environment of its own."""
