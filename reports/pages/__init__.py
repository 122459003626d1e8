"""Reports as pages: one self-contained html file each, from a report json and nothing else."""
