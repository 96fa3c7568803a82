"""What stands behind the words of the command line; imported only when that word was typed."""
