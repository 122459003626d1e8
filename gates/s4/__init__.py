"""Gates of s4, deployment readiness."""
