"""The state of a campaign: what its folder says about submissions and results, and what follows for each run."""
