"""What identifies a user's function, whatever file, line or process it comes from."""
