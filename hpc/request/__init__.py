"""What is asked for: grid.yaml, checked whole; the campaign's files."""
