"""What the user asks for: grid.yaml with all its checks, and the files of a new campaign."""
