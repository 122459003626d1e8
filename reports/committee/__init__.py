"""Who signed what: OpenSSH sign-offs over an S3 report."""
