"""Reference engines: what turns a configuration into labels at a stated level of theory."""
