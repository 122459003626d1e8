"""Whole runs, from a person's command line to the record: real repositories, real subprocesses."""
