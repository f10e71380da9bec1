"""The commands of the command line, one a file. Nothing heavy is imported before a command runs."""
