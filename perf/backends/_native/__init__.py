"""What the targets of the C++ runtime share: its program and a session with it."""
