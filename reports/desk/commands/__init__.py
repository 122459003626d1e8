"""The commands of stagegate, by what they are for: `add_commands` of each module puts its own on the command line."""
