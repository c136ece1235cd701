"""The format of event logs, by the sections of docs/log-format.md."""
