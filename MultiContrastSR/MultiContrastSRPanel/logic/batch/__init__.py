"""A batch: a whole study, super-resolved by the library's command in a process of its own.

`command` makes the arguments of the settings, `process` runs the command and reads its stream of JSON, `status` holds
what the stream says of each subject, and `batch_logic` is what scripts and the panel call.
"""
