"""A typed client for an application's outside face, written as source."""
