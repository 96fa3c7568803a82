"""What all readers and stores share: errors for the user, atomic files, downloads."""
