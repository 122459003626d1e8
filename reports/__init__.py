"""The record: requests, supervised runs, freezes, verdicts, packs, registry, sign-offs. Knows the engines, never the gates."""
