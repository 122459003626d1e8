"""Campaigns against the record: real processes, real signals, real bytes.

`python -m tests.faults.NAME --count N` runs one at length.
"""
