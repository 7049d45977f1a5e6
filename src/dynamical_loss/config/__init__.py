"""The typed configuration, in parts, so that each stage depends only on the settings it reads."""
