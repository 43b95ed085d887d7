"""The user's functions: what they get, how they are called, what their answers depend on."""
