"""A whole study in one command: subjects in, results with provenance out, resumed after any interruption.

A `Recipe` says what is made of each subject, `plain` and `bids` find the scans, `plan` makes one `Subject` of them for
each participant and session, `engine` and `dask_engine` run them in processes, and `subject` is the work of one.
`records`, `locks` and `derivative` hold what keeps the output whole; `table`, `page` and `pictures` what people read.

Nothing here imports torch: methods that need it import it in the worker processes.
"""
