"""What a campaign's folder says about its submissions and results, and what this means for each run."""
