"""What a person sees: the stagegate command and the answers behind it."""
