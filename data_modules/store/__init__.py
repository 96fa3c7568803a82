"""The clip store: its format, its reader, its writer, and when it is built."""
