"""Bytes from outside become messages, and outcomes become answers."""
