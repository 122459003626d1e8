"""How a stage is run: request, entry, the supervised child, the pytest session inside it, the rehearsal."""
