"""What is on disk of a campaign's submissions and results, and what it means for each run."""
