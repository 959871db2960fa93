"""Files that are copied into generated clients as they are. Headwater itself does not import them."""
