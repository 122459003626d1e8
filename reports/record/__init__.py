"""What is recorded: the registry's chain, its rules, its witnesses, and writes that survive a crash."""
