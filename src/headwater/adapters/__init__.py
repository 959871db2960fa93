"""Ports made real. Each file translates one outside thing and knows nothing else."""
