"""The user's own modules: whose they are, what was loaded of each, and loading them again."""
