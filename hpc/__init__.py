"""The login node: plan, submit, watch. Knows `jobs`; never loads torch."""
