"""Swift, a correction of the base image alone: its configuration, without torch, and its network."""
