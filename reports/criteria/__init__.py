"""What a run is judged by and on: policy, freeze, code tree, machine, evidence, verdict, the family's trials."""
