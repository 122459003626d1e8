"""Checked values of the statistics, read from a file and compared with what engines.statistics computes."""
