"""Does the record still hold: packs against rows, attestations, and recovery of what a crash left."""
