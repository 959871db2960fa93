"""A shop in six modules that know each other by contract only."""
