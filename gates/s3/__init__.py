"""Gates of s3, production gates."""
