"""What the people who run an application see of it, and can do."""
