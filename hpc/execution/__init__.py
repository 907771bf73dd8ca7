"""Who executes a plan: this machine or a scheduler."""
