"""What work will take, told before it begins: of one stage, and of the whole grid without running it."""
