"""Which parts an application runs on: the one room that names adapters and puts things together."""
