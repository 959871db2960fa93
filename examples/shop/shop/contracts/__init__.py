"""What the modules say to each other and to the world. No module's code is needed to read it."""
