"""Floor 2: Linux through ctypes and /proc. No policy, no events; errors become OSError."""
