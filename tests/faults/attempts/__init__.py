"""The attempts of the false-pass campaign, by what they lay hands on."""
