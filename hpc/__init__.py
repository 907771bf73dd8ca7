"""What a login node does: plan, submit, watch. Knows `jobs`; never loads torch."""
