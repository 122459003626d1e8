"""What a run leaves behind: artifacts, audit pack, report, explainability packet, stored returns."""
