"""The modules. Each may import contracts, never another module."""
