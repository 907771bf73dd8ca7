"""report.html: one file that holds all of a campaign's results and needs no network."""
