"""The typed configuration, in separate modules, so that a stage depends only on the settings it reads."""
