"""A third party's plug-ins for whodrew."""
