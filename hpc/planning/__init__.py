"""What is missing, cut into tasks and sized: pure functions, which open no file and ask no clock and no scheduler."""
