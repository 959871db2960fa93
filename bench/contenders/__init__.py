"""Applications that answer the same requests, one file each."""
