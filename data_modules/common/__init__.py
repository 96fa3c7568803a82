"""What all readers and stores share: errors for people, atomic files, downloads."""
